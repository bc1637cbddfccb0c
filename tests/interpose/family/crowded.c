// No descriptor, or only a few, are free: execve and posix_spawn need none.
#include "family.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

// Leaves so many descriptors free. The hard limit is higher.
static void crowd(int left)
{
    struct rlimit limit = {24, 64};
    int last = 0;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int next; (next = dup(0)) >= 0;)
        last = next;
    for (int i = 0; i < left; i++)
        close(last - i);
}

static void tell_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("limit %d %d\n", (int)limit.rlim_cur, (int)limit.rlim_max);
    errno = 0;
}

static void execs(int left)
{
    crowd(left);
    execl(small, "small", NULL);
}

static void is_refused(int left)
{
    crowd(left);
    execl(file, "formless", NULL);
    tell_limit();
}

static void spawns(int left)
{
    pid_t pid;
    crowd(left);
    int result = posix_spawn(&pid, small, NULL, NULL, ARGUMENTS, ENVIRONMENT);
    printf("posix_spawn %d\n", result);
    if (result == 0)
        wait_for(pid);
    printf("missing %d\n", posix_spawn(&pid, "/nonexistent", NULL, NULL, ARGUMENTS, ENVIRONMENT));
    printf("formless %d\n", posix_spawn(&pid, file, NULL, NULL, ARGUMENTS, ENVIRONMENT));
    tell_limit();
}

// The shell cannot load its libraries, and says so of each of them.
static void asks_the_shell(int left)
{
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
    crowd(left);
    fflush(stdout);
    tell_status("system", system("exit 3"));
    FILE *stream = popen("exit 4", "w");
    if (stream)
        tell_status("popen", pclose(stream));
    else
        printf("popen %d\n", errno);
    tell_limit();
}

#define EACH(function)                         \
    for (int left = 0; left < 9; left++) {     \
        printf("%d left\n", left);             \
        IN_CHILD(function(left); fflush(stdout)); \
    }

static void case_crowded_exec(void)
{
    EACH(execs)
}

static void case_crowded_refusal(void)
{
    EACH(is_refused)
}

static void case_crowded_spawn(void)
{
    EACH(spawns)
}

static void case_crowded_shell(void)
{
    EACH(asks_the_shell)
}

const struct test CROWDED_CASES[] = {
    {"crowded_exec", case_crowded_exec},
    {"crowded_refusal", case_crowded_refusal},
    {"crowded_spawn", case_crowded_spawn},
    {"crowded_shell", case_crowded_shell},
    {NULL, NULL},
};
