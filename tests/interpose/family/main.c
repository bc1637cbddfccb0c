// Every way in which a C program starts another one, each as a case with a name. `family` lists the cases, `family CASE`
// does one and prints what came of it. tests/interpose.rs runs each case with and without the interposer: the output has
// to be the same.
#include "family.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

char self[4096];
char file[4096];
char small[4096];
char *ENVIRONMENT[] = {"T_ONE=1", "no sign", "T_TWO=2", NULL};

static const struct test *const TESTS[] = {EXEC_CASES, POINTER_CASES, SPAWN_CASES, CHILD_CASES, SHELL_CASES,
                                          CROWDED_CASES};

void tell_status(const char *what, int status)
{
    if (WIFEXITED(status))
        printf("%s exited %d\n", what, WEXITSTATUS(status));
    else
        printf("%s killed by %d\n", what, WTERMSIG(status));
}

void wait_for(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) == pid)
        tell_status("child", status);
    else
        printf("waitpid: %s\n", strerror(errno));
}

static const struct test *find(const char *name)
{
    for (size_t i = 0; i < sizeof TESTS / sizeof *TESTS; i++)
        for (const struct test *test = TESTS[i]; test->name; test++) {
            if (!name)
                puts(test->name);
            else if (strcmp(test->name, name) == 0)
                return test;
        }
    return NULL;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc >= 2 && strcmp(argv[1], "report") == 0)
        return report(argc, argv);
    const struct test *test = find(argc < 2 ? NULL : argv[1]);
    if (argc < 2)
        return 0;
    // Without /proc/self/exe, which an ordinary user's process keeps from before.
    if (!test || !realpath("family", self) || !realpath("formless", file) || !realpath("small", small))
        return 1;
    test->run();
    return 0;
}
