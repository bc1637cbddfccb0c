// Restartable sequences: exec ends the registration of the old program. A stale one kills the process at a preemption
// (so this program is preempted for 200 ms) and makes the new libc's registration fail (so this program looks for it,
// or registers itself if there is none).
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h> // glibc 2.35 and later
#else
#define RSEQ_SIG 0x53053053
static const unsigned __rseq_size = 0;
static const long __rseq_offset = 0;
#endif

enum { AREA = 32 /* bytes that glibc registers, whatever __rseq_size says */, UNREGISTER = 1 };

static int rseq(void *area, int flags)
{
    return syscall(SYS_rseq, area, AREA, flags, RSEQ_SIG) == 0 ? 0 : errno;
}

static void check_libc_registered(void)
{
    void *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    CHECK_EQUAL(rseq(area, 0), EBUSY); // EBUSY: this very area is registered
}

static void check_nothing_registered(void)
{
    static struct {
        uint32_t cpu_id_start, cpu_id;
        char rest[AREA - 8];
    } area __attribute__((aligned(AREA)));
    int error = rseq(&area, 0);
    if (error == ENOSYS)
        return;
    CHECK_EQUAL(error, 0);
    CHECK_EQUAL(rseq(&area, UNREGISTER), 0);
}

static void *yield_for_200_ms(void *unused)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 200);
    return unused;
}

int main(void)
{
    if (__rseq_size)
        check_libc_registered();
    else
        check_nothing_registered();
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, yield_for_200_ms, NULL), 0);
    yield_for_200_ms(NULL);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    return PASS;
}
