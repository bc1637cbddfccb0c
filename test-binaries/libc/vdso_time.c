// Time and cpu number through the vDSO, which the libc finds by AT_SYSINFO_EHDR: its code and its data pages must both
// be at the addresses that the new program gets.
#include "check.h"

#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 100000 };

static double seconds(struct timespec time)
{
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void check_clock(clockid_t clock)
{
    struct timespec raw, libc;
    CHECK_EQUAL(syscall(SYS_clock_gettime, clock, &raw), 0);
    CHECK_EQUAL(clock_gettime(clock, &libc), 0);
    double difference = seconds(libc) - seconds(raw);
    CHECK(difference > -1 && difference < 1, "clock %d is %f s off the kernel's", (int)clock, difference);
}

static void check_monotonic(void)
{
    struct timespec before, now;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < ROUNDS; i++, before = now) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        CHECK(seconds(now) >= seconds(before), "round %d: %f s backwards", i, seconds(before) - seconds(now));
    }
}

static void check_time_of_day(void)
{
    struct timeval now;
    CHECK_EQUAL(gettimeofday(&now, NULL), 0);
    long difference = time(NULL) - now.tv_sec;
    CHECK(difference >= -1 && difference <= 1, "time is %ld s off gettimeofday", difference);
}

static void check_cpu(void)
{
    unsigned cpu;
    CHECK_EQUAL(syscall(SYS_getcpu, &cpu, NULL, NULL), 0);
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    CHECK_EQUAL(sched_setaffinity(0, sizeof only, &only), 0);
    CHECK_EQUAL(sched_getcpu(), cpu);
}

int main(void)
{
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0, "there is no vDSO");
    check_clock(CLOCK_REALTIME);
    check_clock(CLOCK_REALTIME_COARSE);
    check_clock(CLOCK_MONOTONIC);
    check_clock(CLOCK_MONOTONIC_COARSE);
    check_clock(CLOCK_BOOTTIME);
    check_monotonic();
    check_time_of_day();
    check_cpu();
    return PASS;
}
