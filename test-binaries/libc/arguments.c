// The argument and environment vectors: NULL ends argv, envp follows it, and all strings are contiguous, arguments
// first. Programs that overwrite their title (setproctitle) rely on contiguous strings.
#include "check.h"

#include <string.h>

static const char *end_of(const char *string)
{
    return string + strlen(string) + 1;
}

static void check_contiguous(char **strings, const char *expected)
{
    for (int i = 0; strings[i]; i++) {
        CHECK(!expected || strings[i] == expected, "string %d is %td bytes past the end of the one before", i,
              strings[i] - expected);
        expected = end_of(strings[i]);
    }
}

int main(int argc, char **argv, char **envp)
{
    CHECK(argc >= 1, "argc is %d", argc);
    CHECK(argv[argc] == NULL, "argv[%d] is not NULL", argc);
    CHECK(envp == argv + argc + 1, "envp is %td words past argv[argc]", envp - (argv + argc));
    check_contiguous(argv, NULL);
    check_contiguous(envp, end_of(argv[argc - 1]));

    printf("argc %d\n", argc);
    for (int i = 0; i < argc; i++)
        printf("argv[%d] [%s]\n", i, argv[i]);
    for (int i = 0; envp[i]; i++)
        if (strncmp(envp[i], "T_", 2) == 0)
            printf("env [%s]\n", envp[i]);
    return PASS;
}
