// Pointers that lead nowhere, and programs for which execve kills.
#include "family.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static void *unreadable(void)
{
    return mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void case_bad_pointers(void)
{
    char *bad = unreadable();
    char **array = unreadable();
    char *end = (char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096;
    munmap(end, 4096);
    char **unended = (char **)end - 1;
    *unended = "x";
    memset(end - 2000, 'x', 1900);
    IN_CHILD(execve(NULL, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execve(bad, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execve((char *)-1, ARGUMENTS, ENVIRONMENT));
    IN_CHILD(execve(self, array, ENVIRONMENT));
    IN_CHILD(execve(self, (char **)1, ENVIRONMENT));
    IN_CHILD(execve(self, unended, ENVIRONMENT));
    IN_CHILD(execve(self, ARGUMENTS, array));
    IN_CHILD(execve(self, (char *[]){"name", bad, NULL}, ENVIRONMENT));
    IN_CHILD(execve(self, ARGUMENTS, (char *[]){bad, NULL}));
    IN_CHILD(execve(self, NULL, NULL));
    IN_CHILD(execve(file, ARGUMENTS, array));             // before the format
    IN_CHILD(execve("/nonexistent", array, ENVIRONMENT)); // after the path
    IN_CHILD(execve("/etc/passwd", array, ENVIRONMENT));  // after the permission
    IN_CHILD(execv(self, array));
    IN_CHILD(execvp("true", array));
    IN_CHILD(syscall(SYS_execve, self, array, ENVIRONMENT));
    IN_CHILD(syscall(SYS_execveat, AT_FDCWD, bad, ARGUMENTS, ENVIRONMENT, 1));
    IN_CHILD(execveat(AT_FDCWD, NULL, ARGUMENTS, ENVIRONMENT, AT_EMPTY_PATH));
    char *large = malloc(140000);
    memset(large, 'x', 139999);
    large[139999] = 0;
    // The environment is copied first, from its end.
    IN_CHILD(execve(self, (char *[]){"name", bad, NULL}, (char *[]){large, NULL}));
    IN_CHILD(execve(self, (char *[]){"name", large, NULL}, (char *[]){bad, NULL}));
    IN_CHILD(execve(self, (char *[]){bad, large, NULL}, (char *[]){NULL}));
}

static void case_killed(void)
{
    // A program that execve starts to load, and then cannot.
    IN_CHILD(execv("broken", ARGUMENTS));
    pid_t pid;
    int result = posix_spawn(&pid, "broken", NULL, NULL, ARGUMENTS, ENVIRONMENT);
    printf("posix_spawn %d\n", result);
    if (result == 0)
        wait_for(pid);
}

const struct test POINTER_CASES[] = {
    {"bad_pointers", case_bad_pointers},
    {"killed", case_killed},
    {NULL, NULL},
};
