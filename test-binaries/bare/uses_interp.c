// A program with our own PT_INTERP: it is mapped together with its interpreter, which enters it, and the auxiliary
// vector is right about both. The Makefile sets INTERPRETER, an absolute path.
#include "bare.h"

// Written by hand, because ld uses --dynamic-linker only for dynamic linking.
__attribute__((used, section(".interp"))) static const char interpreter[] = INTERPRETER;

static volatile uint64_t data = 7, bss;

__attribute__((used)) static int run(const uint64_t *stack)
{
    const Elf64_Phdr *headers = (const Elf64_Phdr *)aux_value(stack, AT_PHDR);
    int interpreters = 0;
    for (uint64_t i = 0; i < aux_value(stack, AT_PHNUM); i++)
        interpreters += headers[i].p_type == PT_INTERP;
    CHECK(interpreters == 1, "not 1 PT_INTERP, but", interpreters);
    CHECK((uint64_t)headers == (uint64_t)__ehdr_start + sizeof(Elf64_Ehdr), "AT_PHDR is", headers);
    CHECK(aux_value(stack, AT_ENTRY) == (uint64_t)_start, "AT_ENTRY is", aux_value(stack, AT_ENTRY));
    CHECK(data == 7 && bss == 0, "data is not 7 or bss not 0, data + bss is", data + bss);
    print(1, "program\n");
    return PASS;
}

PROGRAM(run);
