// system, popen and wordexp.
#include "family.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <wordexp.h>

static void handler(int signal)
{
    (void)signal;
}

static void tell_actions(void)
{
    struct sigaction interrupt, quit;
    sigset_t set;
    sigaction(SIGINT, NULL, &interrupt);
    sigaction(SIGQUIT, NULL, &quit);
    sigprocmask(SIG_SETMASK, NULL, &set);
    printf("SIGINT %d SIGQUIT %d SIGCHLD %d\n", interrupt.sa_handler == handler, quit.sa_handler == SIG_IGN,
           sigismember(&set, SIGCHLD));
}

static void case_system(void)
{
    signal(SIGINT, handler);
    signal(SIGQUIT, SIG_IGN);
    fflush(stdout);
    printf("shell %d\n", system(NULL));
    tell_status("exit", system("exit 3"));
    tell_status("signal", system("kill -9 $$"));
    tell_status("missing", system("/nonexistent 2>/dev/null"));
    fflush(stdout);
    tell_status("report", system("./family report by system"));
    tell_actions();
    // The command's signals do not reach this process.
    tell_status("interrupted", system("kill -INT $PPID; kill -INT $$"));
    tell_actions();
    signal(SIGCHLD, SIG_IGN);
    errno = 0;
    printf("without status %d", system("exit 3"));
    printf(" %d\n", errno);
}

static void case_popen(void)
{
    char line[256];
    FILE *first = popen("./family report", "r");
    while (fgets(line, sizeof line, first))
        printf("> %s", line);
    FILE *second = popen("cat; exit 5", "w");
    fprintf(second, "written\n");
    fflush(stdout);
    tell_status("second", pclose(second));
    tell_status("first", pclose(first));
    FILE *keep = popen("cat", "we");
    printf("close-on-exec %d\n", fcntl(fileno(keep), F_GETFD));
    FILE *listing = popen("./family report", "r");
    printf("close-on-exec %d\n", fcntl(fileno(listing), F_GETFD));
    while (fgets(line, sizeof line, listing))
        printf("> %s", line);
    tell_status("listing", pclose(listing));
    tell_status("keep", pclose(keep));
    errno = 0;
    printf("bad mode %d", popen("true", "rw") == NULL);
    printf(" %d\n", errno);
    errno = 0;
    printf("bad mode %d", popen("true", "x") == NULL);
    printf(" %d\n", errno);
}

static const char *const WORDS[] = {
    "plain words", "$(echo one two)", "pre$(echo one two)post", "\"$(echo one two)\"", "`echo back`", "x`echo a b`y",
    "$(printf 'a\\nb\\n\\n')", "'$(echo not)'", "\\$(echo not", "$((1 + 2)) $(echo x)", "$(echo $(echo nested))",
    "$(echo \")\")", "$(exit 3)", "$(nonexistent)", "$(echo '*')", "*.nothing $(echo x)", "\"a $(echo 'b  c') d\"",
    "$(echo a:b)", "$(printf ' lead trail ')x", "x$(printf ' lead')", "$(true)", "a$(true)b", "\"$(true)\"", "$(echo",
    "`echo", "$(echo 'a\"b')", "\"$(echo 'a\"b$HOME')\"", "$(printf 'back\\\\slash')", "`echo \\`echo deep\\``",
    "$((1+$(echo 2)))", "${T_UNSET:-$(echo other)}", "~ $(echo x)", "$HOME$(echo y)", "\"`echo a b`\"", "$(if)",
};

static void case_wordexp(void)
{
    const int flags[] = {0, WRDE_NOCMD, WRDE_UNDEF, WRDE_SHOWERR};
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
        for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
            wordexp_t words = {0};
            int result = wordexp(WORDS[i], &words, flags[f]);
            printf("[%s] %d %d:", WORDS[i], flags[f], result);
            for (size_t w = 0; result == 0 && w < words.we_wordc; w++)
                printf(" <%s>", words.we_wordv[w]);
            printf("\n");
            if (result == 0)
                wordfree(&words);
        }
    setenv("IFS", ":", 1);
    wordexp_t words = {.we_offs = 2};
    int result = wordexp("$(echo a:b::c d)", &words, WRDE_DOOFFS);
    printf("%d %zu", result, words.we_wordc);
    result = wordexp("$(echo e f)", &words, WRDE_DOOFFS | WRDE_APPEND);
    printf(" %d %zu:", result, words.we_wordc);
    for (size_t w = 0; w < words.we_wordc; w++)
        printf(" <%s>", words.we_wordv[w + 2]);
    printf("\n");
    wordfree(&words);
}

const struct test SHELL_CASES[] = {
    {"system", case_system},
    {"popen", case_popen},
    {"wordexp", case_wordexp},
    {NULL, NULL},
};
