/*
 * Becomes another program:  ./become /bin/ls -l
 *
 * cc become.c $(pkg-config --cflags --libs supplant) -o become
 * cc -static become.c $(pkg-config --cflags --libs --static supplant) -o become
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <supplant.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: become PROGRAM [ARG...]\n");
        return 125;
    }
    printf("process %d is about to become %s\n", (int)getpid(), argv[1]);
    fflush(stdout);
    supplant_execve(argv[1], argv + 1, environ);
    /* Only reached if the program was refused. */
    fprintf(stderr, "become: %s: %s\n", argv[1], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}
