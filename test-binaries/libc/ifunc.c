// A function chosen at start by its resolver (STT_GNU_IFUNC, R_X86_64_IRELATIVE). The resolver is the first code of
// the program that runs, before its relocations are done. Static programs find its relocation by symbols next to the
// image's end.
#include "check.h"

static int right(int value)
{
    return value + 1;
}

static int wrong(int value)
{
    return value - 1;
}

static int (*resolve(void))(int)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse2") ? right : wrong; // every x86-64 has it
}

int chosen(int value) __attribute__((ifunc("resolve")));

int main(void)
{
    int (*volatile pointer)(int) = chosen;
    CHECK_EQUAL(chosen(41), 42);
    CHECK_EQUAL(pointer(1), 2);
    return PASS;
}
