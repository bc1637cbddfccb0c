// The end of the data segment: the bytes after the initialised data in its last page come from the file and must be
// zeroed; the whole pages of bss after it must be mapped, zero and writable.
#include "check.h"

enum { TAIL = 5 * PAGE };

static volatile unsigned char data[100] = {1, 2, 3, [99] = 99};
static volatile unsigned char tail[TAIL];

extern char _edata[], _end[];

static void check_all(uintptr_t start, uintptr_t end, unsigned char wanted)
{
    for (uintptr_t at = start; at < end; at++) {
        unsigned char byte = *(volatile unsigned char *)at;
        CHECK(byte == wanted, "byte %#lx of the bss is %#x, not %#x", at - address_of(tail), byte, wanted);
    }
}

int main(void)
{
    CHECK(data[0] == 1 && data[98] == 0 && data[99] == 99, "data is %d..%d, %d", data[0], data[98], data[99]);

    uintptr_t start = address_of(tail);
    CHECK_EQUAL(start / PAGE, (address_of(_edata) - 1) / PAGE); // otherwise this program tests nothing
    check_all(start, start + TAIL, 0);
#ifdef __GLIBC__ // musl's loader gives the rest of the last page to malloc
    check_all(address_of(_end), page_up(address_of(_end)), 0);
#endif

    for (int i = 0; i < TAIL; i++)
        tail[i] = 0x5a;
    check_all(start, start + TAIL, 0x5a);
    return PASS;
}
