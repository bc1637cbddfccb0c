// A child calls the real execve, with its output in a pipe, and the parent waits for it: a replaced process is still
// an ordinary parent.
#include "proc.h"

#include <sys/wait.h>

static pid_t start_echo(int output)
{
    extern char **environ;
    pid_t pid = fork();
    CHECK(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        char *arguments[] = {"echo", "said", "by", "the", "child", NULL};
        dup2(output, 1);
        execve("/bin/echo", arguments, environ);
        _exit(127);
    }
    close(output);
    return pid;
}

int main(void)
{
    int ends[2];
    char text[100];
    size_t size = 0;
    ssize_t count;
    CHECK_EQUAL(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = start_echo(ends[1]);
    while ((count = read(ends[0], text + size, sizeof text - 1 - size)) > 0)
        size += count;
    text[size] = 0;

    int status;
    CHECK(waitpid(pid, &status, 0) == pid, "waitpid: %s", strerror(errno));
    CHECK_EQUAL(status, 0);
    CHECK(strcmp(text, "said by the child\n") == 0, "%zu other bytes came through the pipe", size);
    fputs(text, stdout);
    return PASS;
}
