// posix_spawn, its file actions and its attributes.
#include "family.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

void spawn(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes)
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

const struct test SPAWN_CASES[] = {
    {"spawn", case_spawn},
    {"spawnp", case_spawnp},
    {"spawn_actions", case_spawn_actions},
    {"spawn_action_refusals", case_spawn_action_refusals},
    {"spawn_every_number", case_spawn_every_number},
    {"spawn_attributes", case_spawn_attributes},
    {NULL, NULL},
};
