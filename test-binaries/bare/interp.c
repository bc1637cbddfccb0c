// A minimal ELF interpreter (PT_INTERP): a static PIE (tiny_interp) and one linked at 0x10000000 (exec_interp). It
// prints a line and jumps to the program's entry with the stack as received. AT_BASE must be its bias: 0 for
// exec_interp.
// The Makefile sets LINKED_AT.
#include "bare.h"

__asm__(".globl _start\n"
        "_start:\n"
        "    mov %rsp, %rbx\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call entry_of_program\n"
        "    mov %rbx, %rsp\n"
        "    xor %ebx, %ebx\n"
        "    xor %edx, %edx\n" // by the ABI, a function to call at exit: none
        "    jmp *%rax\n");

__attribute__((used)) static uint64_t entry_of_program(const uint64_t *stack)
{
    uint64_t bias = (uint64_t)__ehdr_start - LINKED_AT;
    CHECK(aux_value(stack, AT_BASE) == bias, "the interpreter's bias is not AT_BASE, but", bias);
    print(1, "interp\n");
    return aux_value(stack, AT_ENTRY);
}
