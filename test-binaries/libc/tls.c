// Thread-local storage: the libc finds the PT_TLS image by AT_PHDR and copies it for the first thread and every other
// one; the program header specifies its alignment.
#include "check.h"

#include <pthread.h>

enum { COUNT = 1000, ALIGNMENT = 64 };

static _Thread_local volatile int initialised = 1234;
static _Thread_local volatile long zero[COUNT];
static _Thread_local volatile char aligned_data[3] __attribute__((aligned(ALIGNMENT))) = {1, 2, 3};
static _Thread_local volatile char aligned_bss[3] __attribute__((aligned(ALIGNMENT)));

static void check_fresh(const char *thread)
{
    CHECK(initialised == 1234, "%s thread: %d, not 1234", thread, initialised);
    for (int i = 0; i < COUNT; i++)
        CHECK(zero[i] == 0, "%s thread: zero[%d] is %ld", thread, i, zero[i]);
    CHECK(aligned_data[0] == 1 && aligned_data[2] == 3, "%s thread: %d, %d", thread, aligned_data[0], aligned_data[2]);
    CHECK_EQUAL(address_of(aligned_data) % ALIGNMENT, 0);
    CHECK_EQUAL(address_of(aligned_bss) % ALIGNMENT, 0);
}

static void overwrite(int value)
{
    initialised = value;
    for (int i = 0; i < COUNT; i++)
        zero[i] = value;
}

static void *second_thread(void *unused)
{
    check_fresh("second");
    overwrite(2);
    return unused;
}

int main(void)
{
    check_fresh("first");
    overwrite(1);
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, second_thread, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(initialised, 1);
    CHECK_EQUAL(zero[COUNT - 1], 1);
    return PASS;
}
