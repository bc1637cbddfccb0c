// The state of the processor and of the stack at the first instruction: it is as the kernel's execve leaves it,
// without traces of the old program. ZF, PF and the word below the stack pointer may differ; that word may hold the
// entry address (a `ret` got us here).
// Exit codes: 1 a general register, 2 rflags, 3 alignment of rsp, 4 mxcsr, 5 x87 control word, 6 x87 status or tags,
// 7 fs base, 8 gs base, 9 a data segment selector, 10 a vector or mask register, 11 the stack below rsp, 12 the word
// below rsp.
#include "bare.h"

#include <cpuid.h>

enum { ZF_AND_PF = 0x44, BELOW = 256, GET_FS = 0x1003, GET_GS = 0x1004 };
enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };

// Filled by the entry code, which must not change the stack or the flags before they are saved.
__attribute__((visibility("hidden"))) uint64_t registers[15], flags, stack_pointer, own_stack[1024];

__asm__(".globl _start\n"
        "_start:\n"
        ".Lindex = 0\n"
        ".irp register, rax,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n"
        "    mov %\\register, 8*.Lindex+registers(%rip)\n"
        ".Lindex = .Lindex + 1\n"
        ".endr\n"
        "    mov %rsp, stack_pointer(%rip)\n"
        "    lea 8192+own_stack(%rip), %rsp\n"
        "    pushfq\n"
        "    popq flags(%rip)\n"
        "    cld\n" // the ABI requires this for the code below
        "    call check\n");

#define CHECK_CODE(condition, what, value, code)                                                                       \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(what, (uint64_t)(value), code);                                                                       \
    } while (0)

static void check_general_registers(void)
{
    for (int i = 0; i < 15; i++)
        CHECK_CODE(registers[i] == 0, "a general register is not 0", registers[i], 1);
    CHECK_CODE((flags & ~(uint64_t)ZF_AND_PF) == 0x202, "rflags is not 0x202", flags, 2);
    CHECK_CODE(stack_pointer % 16 == 0, "rsp is not aligned", stack_pointer, 3);
}

static void check_floating_point_words(void)
{
    uint32_t mxcsr;
    struct {
        uint32_t control, status, tags, rest[4];
    } x87;
    __asm__("stmxcsr %0" : "=m"(mxcsr));
    __asm__("fnstenv %0" : "=m"(x87));
    CHECK_CODE(mxcsr == 0x1f80, "mxcsr is not 0x1f80", mxcsr, 4);
    CHECK_CODE((x87.control & 0xffff) == 0x37f, "the x87 control word is not 0x37f", x87.control & 0xffff, 5);
    CHECK_CODE((x87.status & 0xffff) == 0, "the x87 status word is not 0", x87.status & 0xffff, 6);
    CHECK_CODE((x87.tags & 0xffff) == 0xffff, "the x87 tag word is not 0xffff", x87.tags & 0xffff, 6);
}

static void check_segments(void)
{
    uint64_t base;
    CHECK_CODE(system_call(SYS_ARCH_PRCTL, GET_FS, (uint64_t)&base, 0) == 0 && base == 0, "fs base is not 0", base, 7);
    CHECK_CODE(system_call(SYS_ARCH_PRCTL, GET_GS, (uint64_t)&base, 0) == 0 && base == 0, "gs base is not 0", base, 8);
    uint16_t ds, es, fs, gs;
    __asm__("mov %%ds, %0; mov %%es, %1; mov %%fs, %2; mov %%gs, %3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
    CHECK_CODE((ds | es | fs | gs) == 0, "a selector of ds, es, fs, gs is not 0", ds | es | fs | gs, 9);
}

static uint32_t vector_features(void)
{
    uint32_t eax, ebx, ecx, edx, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return 0;
    __asm__("xgetbv" : "=a"(eax), "=d"(high) : "c"(0));
    return eax;
}

static void check_vector_registers(void)
{
    static uint64_t saved[32 * 8 + 8]; // 64 bytes for each vector register, and the 8 mask registers
    uint32_t features = vector_features();
    if ((features & XCR0_AVX512) == XCR0_AVX512)
        __asm__(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
                "    vmovdqu64 %%zmm\\n, 64*\\n(%0)\n"
                ".endr\n"
                ".irp n, 0,1,2,3,4,5,6,7\n"
                "    kmovw %%k\\n, 64*32+8*\\n(%0)\n"
                ".endr" ::"r"(saved)
                : "memory");
    else if ((features & XCR0_AVX) == XCR0_AVX)
        __asm__(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                "    vmovdqu %%ymm\\n, 64*\\n(%0)\n"
                ".endr" ::"r"(saved)
                : "memory");
    else
        __asm__(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                "    movdqu %%xmm\\n, 64*\\n(%0)\n"
                ".endr" ::"r"(saved)
                : "memory");
    for (size_t i = 0; i < sizeof saved / sizeof *saved; i++)
        CHECK_CODE(saved[i] == 0, "a vector or mask register is not 0", saved[i], 10);
}

static void check_stack_below(void)
{
    const uint64_t *below = (const uint64_t *)stack_pointer;
    for (int i = 2; i <= BELOW / 8; i++)
        CHECK_CODE(below[-i] == 0, "a word below rsp is not 0", below[-i], 11);
    CHECK_CODE(below[-1] == 0 || below[-1] == (uint64_t)_start, "the word at rsp-8 is neither 0 nor the entry",
               below[-1], 12);
}

__attribute__((used, noreturn, visibility("hidden"))) void check(void)
{
    check_general_registers();
    check_floating_point_words();
    check_segments();
    check_vector_registers();
    check_stack_below();
    for (;;)
        system_call(SYS_EXIT_GROUP, PASS, 0, 0);
}
