// A static PIE with segments aligned to 2 MiB (p_align): its load address is a multiple of 2 MiB.
#include "bare.h"

enum { ALIGNMENT = 2 << 20 };

static volatile uint64_t data = 5;

__attribute__((used)) static int run(void)
{
    CHECK((uint64_t)__ehdr_start % ALIGNMENT == 0, "not aligned to 2 MiB", __ehdr_start);
    CHECK(data == 5, "the data is not 5, but", data);
    return PASS;
}

PROGRAM(run);
