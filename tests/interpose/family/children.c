// Children in unusual company: old binaries, objects of others, other threads, shared memory.
#include "family.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

// Binaries from before glibc 2.15 ask for this version.
extern int old_posix_spawn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                           char *const[], char *const[]);
__asm__(".symver old_posix_spawn,posix_spawn@GLIBC_2.2.5");

static void case_spawn_by_old_binaries(void)
{
    pid_t pid;
    fflush(stdout);
    printf("%d\n", old_posix_spawn(&pid, self, NULL, NULL, ARGUMENTS, ENVIRONMENT));
    wait_for(pid);
}

// glibc has it since 2.39; before, this is what it does.
extern int pidfd_spawn(int *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                       char *const[], char *const[]) __attribute__((weak));

static int start_with_pidfd(int *pidfd, const char *path)
{
    pid_t pid;
    if (pidfd_spawn)
        return pidfd_spawn(pidfd, path, NULL, NULL, ARGUMENTS, ENVIRONMENT);
    int result = posix_spawn(&pid, path, NULL, NULL, ARGUMENTS, ENVIRONMENT);
    if (result == 0)
        *pidfd = syscall(SYS_pidfd_open, pid, 0);
    return result;
}

static void case_pidfd_spawn(void)
{
    int pidfd = -1;
    siginfo_t ended = {0};
    fflush(stdout);
    printf("%d\n", start_with_pidfd(&pidfd, "/nonexistent"));
    printf("%d\n", start_with_pidfd(&pidfd, self));
    printf("waited %d", waitid(P_PIDFD, pidfd, &ended, WEXITED));
    printf(" %d, close-on-exec %d\n", ended.si_status, fcntl(pidfd, F_GETFD));
}

// Actions that the C library's own function added: whoever else implements posix_spawn knows nothing of them.
static void case_spawn_actions_of_others(void)
{
    void *library = dlopen("libc.so.6", RTLD_LAZY);
    int (*add)(posix_spawn_file_actions_t *, int) = (int (*)(posix_spawn_file_actions_t *, int))(intptr_t)dlsym(
        library, "posix_spawn_file_actions_addclose");
    posix_spawn_file_actions_t actions;
    dup2(1, 50);
    posix_spawn_file_actions_init(&actions);
    printf("add %d\n", add(&actions, 50));
    spawn(&actions, NULL);
    printf("destroy %d\n", posix_spawn_file_actions_destroy(&actions));
}

static void *forks(void *children)
{
    for (int i = 0; i < 100; i++)
        if ((((pid_t *)children)[i] = fork()) == 0) {
            pause();
            _exit(0);
        }
    return NULL;
}

// Children that never exec, forked at the same time, hold nothing up.
static void case_spawn_beside_forks(void)
{
    static pid_t children[100];
    pthread_t thread;
    struct timespec start, end;
    int status;
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &start);
    pthread_create(&thread, NULL, forks, children);
    for (int i = 0; i < 50; i++) {
        pid_t pid;
        if (posix_spawnp(&pid, "true", NULL, NULL, (char *[]){"true", NULL}, environ) == 0)
            waitpid(pid, &status, 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    pthread_join(thread, NULL);
    for (int i = 0; i < 100; i++)
        kill(children[i], SIGKILL);
    printf("in time %d\n", end.tv_sec - start.tv_sec < 10);
}

static char stack[1 << 18] __attribute__((aligned(16)));

static int in_shared_memory(void *unused)
{
    (void)unused;
    execve(self, ARGUMENTS, ENVIRONMENT);
    _exit(1);
}

// A child that shares its parent's memory, which must not be replaced.
static void case_shared_memory(void)
{
    fflush(stdout);
    pid_t pid = clone(in_shared_memory, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    wait_for(pid);
    printf("alive\n");
}

static void *sleeps(void *unused)
{
    pause();
    return unused;
}

static void *execs(void *unused)
{
    execv(self, ARGUMENTS);
    return unused;
}

static void exec_in_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, sleeps, NULL);
    pthread_create(&thread, NULL, execs, NULL);
    pthread_join(thread, NULL);
}

// The new program has the process's id, whichever thread calls.
static void case_by_another_thread(void)
{
    IN_CHILD(exec_in_thread());
}

static void case_with_threads(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, sleeps, NULL);
    spawn(NULL, NULL);
    printf("system %d\n", system("exit 3"));
    IN_CHILD(execv(self, ARGUMENTS));
}

const struct test CHILD_CASES[] = {
    {"spawn_by_old_binaries", case_spawn_by_old_binaries},
    {"pidfd_spawn", case_pidfd_spawn},
    {"spawn_actions_of_others", case_spawn_actions_of_others},
    {"spawn_beside_forks", case_spawn_beside_forks},
    {"shared_memory", case_shared_memory},
    {"with_threads", case_with_threads},
    {"by_another_thread", case_by_another_thread},
    {NULL, NULL},
};
