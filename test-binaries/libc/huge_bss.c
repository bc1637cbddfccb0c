// A bss of 1 GiB: it must cost only address space. An emulator fails here if it fills the bss with zeros, or if it
// places the image where there is not enough room.
#include "check.h"

enum { SIZE = 1 << 30, STEP = 64 << 20 };

static volatile unsigned char bss[SIZE];

int main(void)
{
    for (size_t at = 0; at < SIZE; at += STEP) {
        CHECK(bss[at] == 0 && bss[at + STEP - 1] == 0, "not zero around %#zx", at);
        bss[at] = bss[at + STEP - 1] = 1 + at / STEP;
    }
    for (size_t at = 0; at < SIZE; at += STEP)
        CHECK_EQUAL(bss[at] + bss[at + STEP - 1], 2 * (1 + at / STEP));
    return PASS;
}
