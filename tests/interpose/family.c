// Every way in which a C program starts another one, each as a case with a name. `family` lists the cases, `family CASE`
// does one and prints what came of it, `family report ARG...` is the program that most of them start: it prints what it
// was given. tests/interpose.rs runs each case with and without the interposer: the output has to be the same.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wordexp.h>

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif

extern char **environ;
static char self[4096];  // this program
static char file[4096];  // a file without a format, in the working directory
static char *ENVIRONMENT[] = {"T_ONE=1", "no sign", "T_TWO=2", NULL};

// ---- what a program was given ----

static void report_status(const char *key)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    while (fgets(line, sizeof line, status))
        if (strncmp(line, key, strlen(key)) == 0)
            printf("%s", line);
    fclose(status);
}

static void report_descriptors(void)
{
    // By trying: a listing would show its own.
    for (int fd = 3; fd < 100; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("fd %d\n", fd);
}

static int report(int argc, char **argv)
{
    char directory[4096];
    for (int i = 0; i < argc; i++)
        printf("argv[%d] %s\n", i, argv[i]);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, "T_", 2) == 0 || strcmp(*entry, "no sign") == 0)
            printf("env %s\n", *entry);
    printf("cwd %s\n", getcwd(directory, sizeof directory) ? strrchr(directory, '/') : "?");
    report_status("SigBlk");
    report_status("SigIgn");
    report_status("SigCgt");
    report_descriptors();
    printf("leads group %d session %d\n", getpgrp() == getpid(), getsid(0) == getpid());
    printf("policy %d\n", sched_getscheduler(0));
    return 42;
}

// ---- children ----

static void tell_status(const char *what, int status)
{
    if (WIFEXITED(status))
        printf("%s exited %d\n", what, WEXITSTATUS(status));
    else
        printf("%s killed by %d\n", what, WTERMSIG(status));
}

static void wait_for(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) == pid)
        tell_status("child", status);
    else
        printf("waitpid: %s\n", strerror(errno));
}

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

static void *unreadable(void)
{
    return mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

// ---- the exec family ----

#define ARGUMENTS (char *[]){"name", "report", "a", NULL}

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

// ---- posix_spawn ----

static void spawn(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes)
{
    pid_t pid = -1;
    fflush(stdout);
    int result = posix_spawn(&pid, self, actions, attributes, ARGUMENTS, ENVIRONMENT);
    printf("posix_spawn %d\n", result);
    if (result == 0)
        wait_for(pid);
    fflush(stdout);
}

static void case_spawn(void)
{
    pid_t pid;
    spawn(NULL, NULL);
    fflush(stdout);
    printf("%d\n", posix_spawn(NULL, "/nonexistent", NULL, NULL, ARGUMENTS, ENVIRONMENT));
    printf("%d\n", posix_spawn(&pid, file, NULL, NULL, ARGUMENTS, ENVIRONMENT));
    printf("%d\n", posix_spawn(&pid, "/etc/passwd", NULL, NULL, ARGUMENTS, ENVIRONMENT));
    errno = 0;
    printf("children left: %d", waitpid(-1, NULL, WNOHANG));
    printf(" %d\n", errno);
}

static void case_spawnp(void)
{
    pid_t pid;
    setenv("PATH", "/etc:.", 1);
    fflush(stdout);
    printf("%d\n", posix_spawnp(&pid, "family", NULL, NULL, ARGUMENTS, ENVIRONMENT));
    wait_for(pid);
    printf("%d\n", posix_spawnp(&pid, "formless", NULL, NULL, ARGUMENTS, ENVIRONMENT));
    printf("%d\n", posix_spawnp(&pid, "nowhere", NULL, NULL, ARGUMENTS, ENVIRONMENT));
    printf("%d\n", posix_spawnp(&pid, "passwd", NULL, NULL, ARGUMENTS, ENVIRONMENT));
}

static void case_spawn_actions(void)
{
    posix_spawn_file_actions_t actions;
    int directory = open("/usr", O_RDONLY | O_CLOEXEC);
    int closing = open(self, O_RDONLY | O_CLOEXEC);
    int staying = open(self, O_RDONLY);
    printf("init %d\n", posix_spawn_file_actions_init(&actions));
    printf("%d", posix_spawn_file_actions_addopen(&actions, 20, "made", O_CREAT | O_WRONLY, 0640));
    printf("%d", posix_spawn_file_actions_addopen(&actions, 21, "/dev/null", O_RDONLY, 0));
    printf("%d", posix_spawn_file_actions_adddup2(&actions, closing, closing));
    printf("%d", posix_spawn_file_actions_adddup2(&actions, staying, 30));
    printf("%d", posix_spawn_file_actions_addclose(&actions, staying));
    printf("%d", posix_spawn_file_actions_addclose(&actions, 77));
    printf("%d\n", posix_spawn_file_actions_addfchdir_np(&actions, directory));
    spawn(&actions, NULL);
    spawn(&actions, NULL); // once more with the same
    printf("%d\n", posix_spawn_file_actions_addchdir_np(&actions, "/etc"));
    spawn(&actions, NULL);
    printf("%d\n", posix_spawn_file_actions_addclosefrom_np(&actions, 5));
    spawn(&actions, NULL);
    printf("%d\n", posix_spawn_file_actions_addopen(&actions, 4, "/nonexistent/x", O_RDONLY, 0));
    spawn(&actions, NULL);
    printf("destroy %d\n", posix_spawn_file_actions_destroy(&actions));
    struct stat status;
    printf("made %d", stat("made", &status));
    printf(" mode %o\n", status.st_mode & 0777);
}

static void case_spawn_action_refusals(void)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    printf("%d", posix_spawn_file_actions_addclose(&actions, -1));
    printf(" %d", posix_spawn_file_actions_addclose(&actions, 1 << 30));
    printf(" %d", posix_spawn_file_actions_adddup2(&actions, -1, 3));
    printf(" %d", posix_spawn_file_actions_adddup2(&actions, 3, -1));
    printf(" %d", posix_spawn_file_actions_addopen(&actions, -1, "x", O_RDONLY, 0));
    printf(" %d", posix_spawn_file_actions_addfchdir_np(&actions, -1));
    printf(" %d\n", posix_spawn_file_actions_addclosefrom_np(&actions, -1));
    spawn(&actions, NULL);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawn_file_actions_init(&actions);
    spawn(&actions, NULL);
    posix_spawn_file_actions_adddup2(&actions, 88, 3);
    spawn(&actions, NULL);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addfchdir_np(&actions, 0);
    spawn(&actions, NULL);
    posix_spawn_file_actions_destroy(&actions);
}

// Numbers that whoever implements posix_spawn may use for itself.
static void case_spawn_every_number(void)
{
    for (int fd = 3; fd < 12; fd++) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addclose(&actions, fd);
        posix_spawn_file_actions_adddup2(&actions, 1, fd);
        posix_spawn_file_actions_addopen(&actions, fd + 1, "/dev/null", O_RDONLY, 0);
        spawn(&actions, NULL);
        posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        posix_spawn_file_actions_addopen(&actions, fd, "/nonexistent", O_RDONLY, 0);
        spawn(&actions, NULL);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fd, 1);
        spawn(&actions, NULL);
        posix_spawn_file_actions_destroy(&actions);
    }
}

static void handler(int signal)
{
    (void)signal;
}

static void case_spawn_attributes(void)
{
    posix_spawnattr_t attributes;
    sigset_t set;
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    spawn(NULL, NULL);
    posix_spawnattr_init(&attributes);
    spawn(NULL, &attributes);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigdefault(&attributes, &set);
    sigaddset(&set, SIGALRM);
    posix_spawnattr_setsigmask(&attributes, &set);
    const short flags[] = {POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGMASK, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK,
                           POSIX_SPAWN_SETPGROUP, POSIX_SPAWN_SETSID, POSIX_SPAWN_RESETIDS, POSIX_SPAWN_USEVFORK};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        posix_spawnattr_setflags(&attributes, flags[i]);
        spawn(NULL, &attributes);
    }
    posix_spawnattr_setpgroup(&attributes, 1 << 30);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    spawn(NULL, &attributes);
    posix_spawnattr_setschedpolicy(&attributes, SCHED_BATCH);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSCHEDULER);
    spawn(NULL, &attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSCHEDPARAM);
    spawn(NULL, &attributes);
    posix_spawnattr_destroy(&attributes);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    printf("still blocked: %d\n", sigismember(&now, SIGHUP));
}

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

static void case_with_threads(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, sleeps, NULL);
    spawn(NULL, NULL);
    printf("system %d\n", system("exit 3"));
    IN_CHILD(execv(self, ARGUMENTS));
}

// ---- by the shell ----

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

// ---- which ----

static const struct {
    const char *name;
    void (*run)(void);
} CASES[] = {
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
    {"bad_pointers", case_bad_pointers},
    {"killed", case_killed},
    {"spawn", case_spawn},
    {"spawnp", case_spawnp},
    {"spawn_actions", case_spawn_actions},
    {"spawn_action_refusals", case_spawn_action_refusals},
    {"spawn_every_number", case_spawn_every_number},
    {"spawn_attributes", case_spawn_attributes},
    {"spawn_by_old_binaries", case_spawn_by_old_binaries},
    {"spawn_actions_of_others", case_spawn_actions_of_others},
    {"spawn_beside_forks", case_spawn_beside_forks},
    {"shared_memory", case_shared_memory},
    {"with_threads", case_with_threads},
    {"system", case_system},
    {"popen", case_popen},
    {"wordexp", case_wordexp},
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc >= 2 && strcmp(argv[1], "report") == 0)
        return report(argc, argv);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        if (argc < 2)
            puts(CASES[i].name);
        else if (strcmp(argv[1], CASES[i].name) == 0) {
            // Without /proc/self/exe, which an ordinary user's process keeps from before.
            if (!realpath("family", self) || !realpath("formless", file))
                return 1;
            CASES[i].run();
            return 0;
        }
    }
    return argc < 2 ? 0 : 1;
}
