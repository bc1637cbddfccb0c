// The thread state that the kernel writes to or acts on: after an exec nothing of the old program is registered. This
// program has no libc, since each libc registers its own state at once.
#include "bare.h"

enum { SYS_PRCTL = 157, SYS_GET_ROBUST_LIST = 274, SYS_RSEQ = 334, PR_GET_TID_ADDRESS = 40 };
enum { RSEQ_AREA = 32, ENOSYS = 38 };

__attribute__((used)) static int run(const uint64_t *stack)
{
    (void)stack;
    uint64_t head = 1, size = 0, address = 0;
    CHECK(system_call(SYS_GET_ROBUST_LIST, 0, (uint64_t)&head, (uint64_t)&size) == 0, "get_robust_list", 0);
    CHECK(head == 0, "the robust list is at", head);
    // Only if the kernel can report it (CONFIG_CHECKPOINT_RESTORE).
    system_call(SYS_PRCTL, PR_GET_TID_ADDRESS, (uint64_t)&address, 0);
    CHECK(address == 0, "the thread id address is", address);

    static uint64_t area[4] __attribute__((aligned(RSEQ_AREA)));
    register uint64_t signature __asm__("r10") = 0x53053053;
    long result = SYS_RSEQ;
    __asm__ volatile("syscall" // flags, the third argument, are 0
                     : "+a"(result)
                     : "D"(area), "S"((uint64_t)RSEQ_AREA), "d"(0ul), "r"(signature)
                     : "rcx", "r11", "memory");
    CHECK(result == 0 || result == -ENOSYS, "rseq answers minus", -result);
    return PASS;
}

PROGRAM(run);
