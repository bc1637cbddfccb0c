// The initial stack, without a libc: it ends at the end of the path string, every page below the stack pointer reads
// as zero, writes make it grow to within 1 MiB of its limit (64 MiB at most), and it does not grow beyond the limit.
#include "bare.h"

enum { MIB = 1 << 20, RLIMIT_STACK = 3, BAD_ADDRESS = -14 /* EFAULT */ };

static uint64_t top_of(const uint64_t *stack)
{
    const char *end = (const char *)aux_value(stack, AT_EXECFN);
    while (*end++)
        ;
    CHECK((uint64_t)(end + 8) % PAGE == 0, "8 bytes past AT_EXECFN's end is no page end, but", end + 8);
    return (uint64_t)(end + 8);
}

static void probe(uint64_t from, uint64_t to)
{
    for (uint64_t page = from; page > to; page -= PAGE) {
        volatile uint64_t *word = (volatile uint64_t *)page;
        CHECK(*word == 0, "a fresh stack page is not zero, but", *word);
        *word = page;
    }
    for (uint64_t page = from; page > to; page -= PAGE)
        CHECK(*(volatile uint64_t *)page == page, "a stack page lost what was written", page);
}

__attribute__((used)) static int run(const uint64_t *stack)
{
    uint64_t limit[2], top = top_of(stack);
    CHECK(system_call(SYS_GETRLIMIT, RLIMIT_STACK, (uint64_t)limit, 0) == 0, "no stack limit", 0);
    uint64_t depth = limit[0] > 65 * MIB ? 64 * MIB : limit[0] > 2 * MIB ? limit[0] - MIB : limit[0] / 2;
    uint64_t below_frames = page_down((uint64_t)stack) - 4 * PAGE;
    probe(below_frames, top - depth);

    uint64_t beyond = top - page_down(limit[0]) - 16 * PAGE;
    if (limit[0] <= 65 * MIB) { // the kernel cannot write there and returns an error
        long result = system_call(SYS_GETRLIMIT, RLIMIT_STACK, beyond, 0);
        CHECK(result == BAD_ADDRESS, "the stack grows beyond its limit: getrlimit returned", result);
    }
    return PASS;
}

PROGRAM(run);
