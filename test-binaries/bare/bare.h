// Shared by the programs without a libc: the entry, three system calls and a check that prints what is wrong.
#ifndef BARE_H
#define BARE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

enum { PASS = 42, PAGE = 4096 };

#pragma GCC visibility push(hidden)
extern char __ehdr_start[], _start[];
#pragma GCC visibility pop

// Makes `function(stack pointer at the entry)` the program; its result is the exit code.
#define PROGRAM(function)                                                                                              \
    __asm__(".globl _start\n"                                                                                          \
            "_start:\n"                                                                                                \
            "    xor %ebp, %ebp\n"                                                                                     \
            "    mov %rsp, %rdi\n"                                                                                     \
            "    and $-16, %rsp\n"                                                                                     \
            "    call " #function "\n"                                                                                 \
            "    mov %eax, %edi\n"                                                                                     \
            "    mov $231, %eax\n" /* exit_group */                                                                    \
            "    syscall\n")

#define CHECK(condition, what, value)                                                                                  \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(what, (uint64_t)(value), 1);                                                                          \
    } while (0)

enum { SYS_WRITE = 1, SYS_MINCORE = 27, SYS_GETRLIMIT = 97, SYS_ARCH_PRCTL = 158, SYS_EXIT_GROUP = 231 };

static inline long system_call(long number, uint64_t first, uint64_t second, uint64_t third)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

static inline void print(int fd, const char *text)
{
    size_t size = 0;
    while (text[size])
        size++;
    system_call(SYS_WRITE, fd, (uint64_t)text, size);
}

__attribute__((noreturn, cold)) static inline void fail(const char *what, uint64_t value, int code)
{
    char digits[20] = ": 0x", *end = digits + 4;
    for (int shift = 60; shift >= 0; shift -= 4)
        if (value >> shift || shift == 0)
            *end++ = "0123456789abcdef"[value >> shift & 15];
    *end++ = '\n';
    print(2, what);
    system_call(SYS_WRITE, 2, (uint64_t)digits, end - digits);
    for (;;)
        system_call(SYS_EXIT_GROUP, code, 0, 0);
}

static inline const uint64_t *auxv_of(const uint64_t *stack)
{
    const uint64_t *word = stack + 1 + *stack + 1; // argc, argv, NULL
    while (*word++)
        ;
    return word;
}

static inline uint64_t aux_value(const uint64_t *stack, uint64_t tag)
{
    for (const uint64_t *pair = auxv_of(stack); pair[0] != AT_NULL; pair += 2)
        if (pair[0] == tag)
            return pair[1];
    fail("no such tag in the auxiliary vector", tag, 1);
}

static inline uint64_t page_down(uint64_t address)
{
    return address & ~(uint64_t)(PAGE - 1);
}

static inline int is_mapped(uint64_t page)
{
    unsigned char resident;
    return system_call(SYS_MINCORE, page, PAGE, (uint64_t)&resident) == 0;
}

#endif
