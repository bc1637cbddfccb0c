// The local descriptor table is empty at a program's start, even if the old program had written to it.
#include "bare.h"

enum { SYS_MODIFY_LDT = 154, READ = 0 };

__attribute__((used)) static int run(const uint64_t *stack)
{
    (void)stack;
    static uint64_t entries[512];
    long size = system_call(SYS_MODIFY_LDT, READ, (uint64_t)entries, sizeof entries);
    for (long i = 0; i < size / 8; i++)
        CHECK(entries[i] == 0, "a descriptor is left at", i);
    return PASS;
}

PROGRAM(run);
