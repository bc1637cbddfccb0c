// Eight threads meet at a condition variable and add numbers under a mutex: clone, futex, thread pointers and the tid
// address must work in a process whose threads and robust list belonged to another program before.
#include "check.h"

#include <pthread.h>

enum { THREADS = 8, ROUNDS = 1000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int waiting, sum;
static _Thread_local int own;

static void wait_for_all(void)
{
    pthread_mutex_lock(&mutex);
    waiting++;
    pthread_cond_broadcast(&changed);
    while (waiting < THREADS)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void *count(void *number)
{
    wait_for_all();
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        sum += *(int *)number;
        own += *(int *)number;
        pthread_mutex_unlock(&mutex);
    }
    CHECK(own == ROUNDS * *(int *)number, "thread %d counted %d", *(int *)number, own);
    return number;
}

int main(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        CHECK_EQUAL(pthread_create(&threads[i], NULL, count, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        CHECK_EQUAL(pthread_join(threads[i], &result), 0);
        CHECK(result == &numbers[i], "thread %d returned another's result", i);
    }
    CHECK_EQUAL(sum, ROUNDS * THREADS * (THREADS + 1) / 2);
    CHECK_EQUAL(own, 0);
    printf("sum %d\n", sum);
    return PASS;
}
