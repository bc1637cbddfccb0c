// A program at a fixed address (ET_EXEC): very low, very high, or at the address of a similar program that ran just
// before, with another text, other data and a bss of another size. Its data and bss must be its own, not the other
// one's.
// The Makefile sets NAME, ADDRESS and BSS for each program.
#include "bare.h"

static volatile char name[] = NAME "\n";
static volatile unsigned char bss[BSS];

static void fill(volatile unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = 0xa5;
}

__attribute__((used)) static int run(void)
{
    CHECK((uint64_t)__ehdr_start == ADDRESS, NAME " is not at its address, but at", __ehdr_start);
    for (size_t i = 0; i < BSS; i++)
        CHECK(bss[i] == 0, NAME ": a byte of the bss is not zero", bss[i]);
    print(1, (const char *)name);
    fill((volatile unsigned char *)name, sizeof name); // so that the next program notices leftovers
    fill(bss, BSS);
    return PASS;
}

PROGRAM(run);
