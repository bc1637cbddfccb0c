// The program break: it starts at the new program's own start_brk, grows, shrinks and grows again with zeros, and
// never goes below its start. Raw system calls, because malloc also moves it and musl's sbrk only reads it.
#include "proc.h"

#include <sys/syscall.h>

enum { MIB = 1 << 20 };

static uintptr_t brk_to(uintptr_t address)
{
    return syscall(SYS_brk, address);
}

static void check_all(uintptr_t start, uintptr_t end, unsigned char wanted)
{
    for (uintptr_t at = start; at < end; at++) {
        unsigned char byte = *(volatile unsigned char *)at;
        CHECK(byte == wanted, "byte %#lx of the heap is %#x, not %#x", at - start, byte, wanted);
    }
}

static void check_grows_and_shrinks(uintptr_t start)
{
    uintptr_t low = start + MIB, high = start + 5 * MIB;
    CHECK_EQUAL(brk_to(high), high);
    check_all(start, high, 0);
    memset((void *)start, 0xa5, high - start);
    CHECK_EQUAL(brk_to(low), low);
    CHECK_EQUAL(brk_to(high), high);
    check_all(start, low, 0xa5);
    check_all(low, high, 0);
}

// From the start of the first mapping with that name to the end of the last: musl's loader puts a guard page into its
// heap.
static struct mapping find_heap(void)
{
    static char maps[1 << 18];
    read_file("/proc/self/maps", maps, sizeof maps);
    const char *cursor = maps;
    struct mapping m, heap = {0};
    while (next_mapping(&cursor, &m))
        if (path_is(&m, "[heap]")) {
            heap.start = heap.start ? heap.start : m.start;
            heap.end = m.end;
        }
    return heap;
}

static void check_heap_label(uintptr_t start_brk)
{
    extern char _end[];
    struct mapping heap = find_heap();
    CHECK_EQUAL(heap.end, page_up(brk_to(0)));
    if (page_up(address_of(_end)) == start_brk) // without randomisation the heap may be one mapping with the bss
        CHECK(heap.start <= start_brk, "[heap] starts %#lx after start_brk", heap.start - start_brk);
    else
        CHECK_EQUAL(heap.start, start_brk);
}

int main(void)
{
    uintptr_t start_brk = stat_field(47);
    uintptr_t before = brk_to(0); // a static glibc has moved it already
    CHECK(before >= start_brk, "the break is %#lx below start_brk", start_brk - before);
    CHECK_EQUAL(start_brk % PAGE, 0);

    check_grows_and_shrinks(page_up(before));
    check_heap_label(start_brk);
    uintptr_t now = brk_to(0);
    CHECK_EQUAL(brk_to(start_brk - PAGE), now);
    CHECK_EQUAL(brk_to(before), before);
    return PASS;
}
