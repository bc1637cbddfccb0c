// The exec family, syscall and vfork.
#include "family.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif

static void case_execl(void)
{
    IN_CHILD(execl(self, "name", "report", NULL));
    IN_CHILD(execl(self, "name", "report", "3", "4", "5", "6", "7", "8", "9", NULL));
    IN_CHILD(execl("/nonexistent", "name", NULL));
}

static void case_execle(void)
{
    IN_CHILD(execle(self, "name", "report", NULL, ENVIRONMENT));
    IN_CHILD(execle(self, "name", "report", "3", "4", "5", NULL, ENVIRONMENT));
    IN_CHILD(execle(self, "name", "report", "3", "4", "5", "6", "7", "8", NULL, ENVIRONMENT));
}

static void case_execlp(void)
{
    setenv("PATH", "/nonexistent:/etc:.", 1);
    IN_CHILD(execlp("family", "name", "report", NULL));
    IN_CHILD(execlp("formless", "name", "one", "two", NULL));
    IN_CHILD(execlp("passwd", "name", NULL));
    IN_CHILD(execlp("nowhere", "name", NULL));
}

static void case_execv(void)
{
    IN_CHILD(execv(self, ARGUMENTS));
    setenv("T_SET", "by setenv", 1);
    IN_CHILD(execv(self, ARGUMENTS));
    IN_CHILD(execv(file, ARGUMENTS)); // not by the shell
    clearenv();
    IN_CHILD(execv(self, ARGUMENTS));
}

static void case_execvp(void)
{
    char name[300];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    IN_CHILD(execvp(self, ARGUMENTS));
    IN_CHILD(execvp(file, ARGUMENTS));
    IN_CHILD(execvp("", ARGUMENTS));
    IN_CHILD(execvp(name, ARGUMENTS));
    IN_CHILD(execvp("true", (char *[]){"true", NULL}));
    unsetenv("PATH");
    IN_CHILD(execvp("true", (char *[]){"true", NULL}));
    setenv("PATH", "", 1);
    IN_CHILD(execvp("family", ARGUMENTS));
    setenv("PATH", "/etc/passwd:/root/nowhere:/etc", 1);
    IN_CHILD(execvp("passwd", ARGUMENTS));
    IN_CHILD(execvp("shadow", ARGUMENTS));
}

static void case_execvpe(void)
{
    setenv("PATH", ".", 1);
    IN_CHILD(execvpe("family", ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execvpe("formless", ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execvpe("formless", (char *[]){NULL}, ENVIRONMENT));
}

static void case_execve(void)
{
    IN_CHILD(execve(self, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execve(self, ARGUMENTS, NULL));
    IN_CHILD(execve(file, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execve("/etc", ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execve("/etc/passwd/x", ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execve("script", ARGUMENTS, ENVIRONMENT));
}

static void case_execveat(void)
{
    int directory = open(".", O_RDONLY | O_DIRECTORY), closing = open(".", O_RDONLY | O_CLOEXEC);
    int program = open(self, O_PATH | O_CLOEXEC);
    IN_CHILD(execveat(directory, "family", ARGUMENTS, ENVIRONMENT, 0));
    IN_CHILD(execveat(closing, "family", ARGUMENTS, ENVIRONMENT, 0));
    IN_CHILD(execveat(directory, "script", ARGUMENTS, ENVIRONMENT, 0));
    IN_CHILD(execveat(closing, "script", ARGUMENTS, ENVIRONMENT, 0));
    IN_CHILD(execveat(program, "", ARGUMENTS, ENVIRONMENT, AT_EMPTY_PATH));
    IN_CHILD(execveat(directory, "link", ARGUMENTS, ENVIRONMENT, AT_SYMLINK_NOFOLLOW));
    IN_CHILD(execveat(directory, "", ARGUMENTS, ENVIRONMENT, AT_EMPTY_PATH));
    IN_CHILD(execveat(-1, "family", ARGUMENTS, ENVIRONMENT, 0));
    IN_CHILD(execveat(-1, self, ARGUMENTS, ENVIRONMENT, 0));
    IN_CHILD(execveat(directory, "family", ARGUMENTS, ENVIRONMENT, 1));
}

static void case_check(void)
{
    const char *paths[] = {self, file, "/etc/passwd", "/nonexistent", "/etc", ""};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        errno = 0;
        int result = execveat(AT_FDCWD, paths[i], ARGUMENTS, ENVIRONMENT, AT_EXECVE_CHECK);
        printf("execveat %d %d\n", result, errno);
        errno = 0;
        long answer = syscall(SYS_execveat, AT_FDCWD, paths[i], ARGUMENTS, ENVIRONMENT, AT_EXECVE_CHECK);
        printf("syscall %ld %d\n", answer, errno);
    }
    printf("bad argv %d", execveat(AT_FDCWD, self, (char **)8, ENVIRONMENT, AT_EXECVE_CHECK));
    printf(" %d\n", errno);
}

static void case_fexecve(void)
{
    int program = open(self, O_RDONLY | O_CLOEXEC), script = open("script", O_RDONLY);
    int closing = open("script", O_RDONLY | O_CLOEXEC);
    IN_CHILD(fexecve(program, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(fexecve(script, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(fexecve(closing, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(fexecve(-1, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(fexecve(99, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(fexecve(program, NULL, ENVIRONMENT));
    IN_CHILD(fexecve(program, ARGUMENTS, NULL));
}

static void case_syscall(void)
{
    IN_CHILD(syscall(SYS_execve, self, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(syscall(SYS_execve, file, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(syscall(SYS_execveat, AT_FDCWD, self, ARGUMENTS, ENVIRONMENT, 0));
    IN_CHILD(syscall(SYS_execveat, AT_FDCWD, self, ARGUMENTS, ENVIRONMENT, 1));
    // Others go on as they were, with all six arguments.
    void *page = (void *)syscall(SYS_mmap, NULL, 4096L, (long)PROT_READ, (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L);
    printf("mmap %d\n", page != MAP_FAILED);
    printf("getpid %d\n", syscall(SYS_getpid) == getpid());
    errno = 0;
    printf("close %ld", syscall(SYS_close, -1));
    printf(" %d\n", errno);
    errno = 0;
    printf("mmap %ld", syscall(SYS_mmap, NULL, 4096L, (long)PROT_READ, (long)MAP_PRIVATE, -1L, 0L));
    printf(" %d\n", errno);
}

static void case_vfork(void)
{
    fflush(stdout);
    pid_t pid = vfork();
    if (pid == 0) {
        execve(self, ARGUMENTS, ENVIRONMENT);
        _exit(1);
    }
    wait_for(pid);
    pid = vfork();
    if (pid == 0)
        _exit(7);
    wait_for(pid);
}

static void exec_small(int signal)
{
    (void)signal;
    execl(small, "small", NULL);
    _exit(1);
}

// The signal comes at any moment, most often in the allocator.
static void allocate_until_exec(int microseconds)
{
    struct itimerval soon = {.it_value = {.tv_usec = microseconds}};
    static void *blocks[64];
    signal(SIGALRM, exec_small);
    setitimer(ITIMER_REAL, &soon, NULL);
    for (unsigned i = 0;; i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc(i * 37 % 5000);
    }
}

// execve is safe in a handler that has interrupted malloc.
static void case_exec_in_handler(void)
{
    for (int i = 0; i < 100; i++)
        IN_CHILD(allocate_until_exec(300 + 13 * i));
}

static void exec_refused(int signal)
{
    int before = errno;
    (void)signal;
    execl(file, "formless", NULL);
    errno = before;
}

// A handler execs while the function that it has interrupted execs.
static void case_exec_interrupts_exec(void)
{
    struct itimerval often = {{.tv_usec = 1700}, {.tv_usec = 1700}}, never = {0};
    signal(SIGALRM, exec_refused);
    setitimer(ITIMER_REAL, &often, NULL);
    int refused = 0;
    for (int i = 0; i < 2000; i++)
        refused += execl(file, "formless", NULL) == -1 && errno == ENOEXEC;
    setitimer(ITIMER_REAL, &never, NULL);
    printf("refused %d\n", refused);
    IN_CHILD(execl(small, "small", NULL));
}

static void exec_with(int count, int size)
{
    char **arguments = calloc(count + 1, sizeof *arguments);
    for (int i = 0; i < count; i++) {
        arguments[i] = malloc(size + 1);
        memset(arguments[i], 'x', size);
        arguments[i][size] = 0;
    }
    execv(small, arguments);
}

// Few long arguments, and many short ones.
static void case_large_arguments(void)
{
    IN_CHILD(exec_with(50, 33000));
    IN_CHILD(exec_with(1500, 1000));
    IN_CHILD(exec_with(150000, 3));
}

const struct test EXEC_CASES[] = {
    {"execl", case_execl},
    {"execle", case_execle},
    {"execlp", case_execlp},
    {"execv", case_execv},
    {"execvp", case_execvp},
    {"execvpe", case_execvpe},
    {"execve", case_execve},
    {"execveat", case_execveat},
    {"check", case_check},
    {"fexecve", case_fexecve},
    {"syscall", case_syscall},
    {"vfork", case_vfork},
    {"exec_in_handler", case_exec_in_handler},
    {"exec_interrupts_exec", case_exec_interrupts_exec},
    {"large_arguments", case_large_arguments},
    {NULL, NULL},
};
