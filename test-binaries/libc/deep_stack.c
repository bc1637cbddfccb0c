// Recursion down to 1 MiB above the stack limit (64 MiB at most): the stack must grow by faults, as the kernel's own
// does, with room below it, and stay one mapping labelled [stack].
#include "proc.h"

#include <sys/resource.h>

enum { MIB = 1 << 20 };

static uintptr_t depth(void)
{
    struct rlimit limit;
    CHECK_EQUAL(getrlimit(RLIMIT_STACK, &limit), 0);
    if (limit.rlim_cur > 65 * MIB)
        return 64 * MIB;
    return limit.rlim_cur > 2 * MIB ? limit.rlim_cur - MIB : limit.rlim_cur / 2;
}

static void check_mapping(uintptr_t bottom, uintptr_t top)
{
    struct mapping stack = find_mapping("[stack]");
    CHECK_EQUAL(stack.end, top);
    CHECK(stack.start <= bottom, "[stack] is %#lx bytes, %#lx were touched", stack.end - stack.start, top - bottom);
}

__attribute__((noinline)) static unsigned descend(uintptr_t bottom, uintptr_t top)
{
    volatile unsigned char frame[PAGE];
    frame[0] = 1;
    if (address_of(frame) > bottom)
        return descend(bottom, top) + frame[0];
    check_mapping(address_of(frame), top);
    return frame[0];
}

int main(void)
{
    uintptr_t top = find_mapping("[stack]").end;
    uintptr_t used = top - address_of(&top);
    unsigned frames = descend(top - depth(), top);
    CHECK(frames >= (depth() - used) / (2 * PAGE), "only %u frames", frames);
    return PASS;
}
