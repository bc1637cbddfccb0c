/* fork makes a second process, exec puts another program into it: together they start a program. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int counter = 3;

int main(int argc, char **argv)
{
    int status;
    pid_t child;

    if (argc < 2) {
        fprintf(stderr, "usage: twice PROGRAM [ARGUMENT]...\n");
        return 2;
    }
    child = fork();
    if (child < 0) {
        perror("fork");
        return 1;
    }
    if (child == 0) {
        counter += 1;
        printf("child  %d: fork returned 0, counter is %d\n", (int)getpid(), counter);
        fflush(stdout);
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    waitpid(child, &status, 0);
    printf("parent %d: fork returned %d, counter is %d\n", (int)getpid(), (int)child, counter);
    if (WIFEXITED(status))
        printf("parent %d: the child exited with %d\n", (int)getpid(), WEXITSTATUS(status));
    return 0;
}
