// Attributes that a process keeps or loses over an exec, besides those that `tell` prints: timers, locks, ids of
// session and group, priorities, securebits, the descriptors' flags and offsets... One "key value" per line, the same
// in both programs.
#include "proc.h"

#include <sched.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { HIGHEST_DESCRIPTOR = 1 << 16, WHO_PROCESS = 1 };

static char text[1 << 16];

// The whole file on one line.
static void print_file(const char *key, const char *path)
{
    read_file(path, text, sizeof text);
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = c[1] ? '|' : 0;
    printf("%s %s\n", key, text);
}

static void print_status_line(const char *name)
{
    read_file("/proc/self/status", text, sizeof text);
    const char *line = strstr(text, name);
    CHECK(line, "no line %s", name);
    printf("%.*s\n", (int)strcspn(line, "\n"), line);
}

static void print_timers(void)
{
    static const char *const names[] = {"real", "virtual", "profiling"};
    for (int i = 0; i < 3; i++) {
        struct itimerval timer;
        CHECK_EQUAL(getitimer(i, &timer), 0);
        int runs = timer.it_value.tv_sec || timer.it_value.tv_usec;
        printf("itimer.%s %s, every %ld s\n", names[i], runs ? "runs" : "off", (long)timer.it_interval.tv_sec);
    }
    if (access("/proc/self/timers", R_OK) == 0)
        print_file("timers", "/proc/self/timers");
}

static const char *own_or_other(pid_t id)
{
    return id == getpid() ? "own" : "another's";
}

static void print_identity(void)
{
    printf("session %s\n", own_or_other(getsid(0)));
    printf("group %s\n", own_or_other(getpgrp()));
    printf("secure %lu\n", getauxval(AT_SECURE));
    static const char *const names[] = {"Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:",
                                        "VmLck:", "Seccomp:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        print_status_line(names[i]);
    print_file("oom_score_adj", "/proc/self/oom_score_adj");
}

static void print_priorities(void)
{
    cpu_set_t cpus;
    CHECK_EQUAL(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    printf("nice %d\n", getpriority(PRIO_PROCESS, 0));
    printf("policy %ld\n", syscall(SYS_sched_getscheduler, 0)); // musl's own answers ENOSYS
    printf("cpus %d, first %d\n", CPU_COUNT(&cpus), CPU_ISSET(0, &cpus) != 0);
    printf("ioprio %#lx\n", syscall(SYS_ioprio_get, WHO_PROCESS, 0));
    printf("timerslack %d\n", prctl(PR_GET_TIMERSLACK));
}

static void print_switches(void)
{
    int signal = -1, reaper = -1;
    prctl(PR_GET_PDEATHSIG, &signal);
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    printf("pdeathsig %d\n", signal);
    printf("subreaper %d\n", reaper);
    printf("keepcaps %d\n", prctl(PR_GET_KEEPCAPS));
    printf("securebits %#x\n", prctl(PR_GET_SECUREBITS));
    printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
    printf("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    printf("personality %#x\n", personality(0xffffffff));
    printf("thp_disable %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    printf("mdwe %d\n", prctl(66 /* PR_GET_MDWE */, 0, 0, 0, 0));
    print_file("coredump_filter", "/proc/self/coredump_filter");
}

static void print_descriptors(void)
{
    for (int fd = 0; fd < HIGHEST_DESCRIPTOR; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0)
            continue;
        long offset = lseek(fd, 0, SEEK_CUR);
        printf("descriptor %d flags %#x close-on-exec %d offset %ld\n", fd, flags, fcntl(fd, F_GETFD), offset);
    }
}

int main(int argc, char **argv)
{
    int all = argc < 2 || strcmp(argv[1], "few") != 0;
    print_timers();
    print_identity();
    print_priorities();
    print_switches();
    if (all)
        print_descriptors();
    return PASS;
}
