// Two PT_LOADs with a hole of 1 GiB: both parts are at the expected addresses, and the hole is not mapped.
#include "bare.h"

__attribute__((section(".far"))) static volatile uint64_t far = 0x1234;

__attribute__((used)) static int run(const uint64_t *stack)
{
    int loads = 0;
    const Elf64_Phdr *headers = (const Elf64_Phdr *)aux_value(stack, AT_PHDR);
    for (uint64_t i = 0; i < aux_value(stack, AT_PHNUM); i++)
        loads += headers[i].p_type == PT_LOAD;
    CHECK(loads == 2, "not 2 PT_LOADs, but", loads);

    uint64_t first = (uint64_t)__ehdr_start, second = page_down((uint64_t)&far);
    CHECK(second - first == 1 << 30, "the segments are not 1 GiB apart, but", second - first);
    CHECK(far == 0x1234, "the far word is not 0x1234, but", far);
    for (uint64_t page = first + PAGE; page < second; page += 16 * PAGE)
        CHECK(!is_mapped(page), "mapped in the hole: page at", page);
    CHECK(!is_mapped(second - PAGE), "mapped in the hole: page at", second - PAGE);
    far = 0;
    return PASS;
}

PROGRAM(run);
