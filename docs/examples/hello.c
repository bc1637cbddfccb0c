/* One of each: code, a constant, a variable with a value, memory that starts as zeros, and a stack. It tells where
 * they are. With an argument it waits for the end of its input, so that one can look at it. */
#include <stdio.h>
#include <unistd.h>

static const char greeting[] = "hello";
static int counter = 3;
static char buffer[100000];

int main(int argc, char **argv)
{
    int local = argc;

    printf("%s from process %d\n", greeting, (int)getpid());
    printf("main     %p   code\n", (void *)main);
    printf("greeting %p   constant\n", (void *)greeting);
    printf("counter  %p   variable with a value: %d\n", (void *)&counter, counter);
    printf("buffer   %p   zeros: %d\n", (void *)buffer, buffer[sizeof buffer - 1]);
    printf("local    %p   on the stack\n", (void *)&local);
    printf("argv[0]  %p   \"%s\", above it\n", (void *)argv[0], argv[0]);
    fflush(stdout);
    while (argc > 1 && getchar() != EOF)
        ;
    return 42;
}
