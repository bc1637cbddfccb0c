// With `tell`, prints the addresses of the program's parts. With `crash`, causes a fault that depends on them, like
// bugs that are hard to find: it writes to a bad address in about one of four layouts.
#include "check.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

static int global;

static int telling;
static uint64_t mixed;

// Mixes in every bit of each address, including the low ones.
static void tell(const char *name, uint64_t value)
{
    if (telling)
        printf("%s %#lx\n", name, (unsigned long)value);
    mixed = (mixed ^ value) * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 29;
}

int main(int argc, char **argv)
{
    int local = 0;
    telling = argc > 1;
    uint64_t random;
    void *mapped = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED, "mmap");
    // The heap must be in use to appear in a core file. This prints its end instead of malloc's result: a static glibc
    // first allocates the path of /proc/self/exe, which may differ under an emulated execve.
    CHECK(malloc(1), "malloc");
    void *heap = sbrk(0);
    memcpy(&random, (const void *)getauxval(AT_RANDOM), sizeof random);

    tell("code", (uintptr_t)main);
    tell("data", address_of(&global));
    tell("stack", address_of(&local));
    tell("heap", address_of(heap));
    tell("mapped", address_of(mapped));
    tell("vdso", getauxval(AT_SYSINFO_EHDR));
    tell("interpreter", getauxval(AT_BASE));
    tell("random", random);
    fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "crash") == 0 && (mixed & 3) == 0)
        *(volatile int *)(mixed & 8) = global;
    return PASS;
}
