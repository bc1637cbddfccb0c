// What the files of this program share: how a child is started, and how it is told what became of it.
#pragma once

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

extern char **environ;
extern char self[4096]; // this program
extern char file[4096]; // a file without a format, in the working directory
extern char small[4096]; // a static program that exits 42
extern char *ENVIRONMENT[];

#define ARGUMENTS (char *[]){"name", "report", "a", NULL}

// A case has a name on the command line and a function.
struct test {
    const char *name;
    void (*run)(void);
};

extern const struct test EXEC_CASES[], POINTER_CASES[], SPAWN_CASES[], CHILD_CASES[], SHELL_CASES[],
    CROWDED_CASES[];

// The program that most cases start: prints what it was given.
int report(int argc, char **argv);

void tell_status(const char *what, int status);
void wait_for(pid_t pid);

// Starts the report by posix_spawn and waits for it.
void spawn(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes);

// Runs an exec call in a child; tells its errno if it returns.
#define IN_CHILD(call)                    \
    do {                                  \
        fflush(stdout);                   \
        pid_t pid = fork();               \
        if (pid == 0) {                   \
            call;                         \
            printf("errno %d\n", errno); \
            fflush(stdout);               \
            _exit(1);                     \
        }                                 \
        wait_for(pid);                    \
    } while (0)
