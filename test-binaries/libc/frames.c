// `main` calls `outer`, which calls `middle`, which calls `inner`, for debuggers and profilers: each has its own frame
// and symbol. With `spin` this takes a while, with `loop` it never ends, with `crash` it faults in `inner`.
#include "check.h"

#include <string.h>

#define CALLED __attribute__((noinline, noclone, noipa)) static

CALLED int inner(const char *what)
{
    volatile int sum = 0;
    if (strcmp(what, "spin") == 0)
        for (int i = 0; i < 300000000; i++)
            sum += i;
    if (strcmp(what, "loop") == 0)
        for (;;)
            sum++;
    if (strcmp(what, "crash") == 0)
        *(volatile int *)address_of(NULL) = sum;
    return sum | 1;
}

// The use of the result keeps the compiler from jumping instead of calling.
CALLED int middle(const char *what)
{
    return inner(what) + 1;
}

CALLED int outer(const char *what)
{
    return middle(what) + 1;
}

int main(int argc, char **argv)
{
    CHECK(outer(argc > 1 ? argv[1] : "") != 0, "a sum");
    return PASS;
}
