// Linked with -z execstack (PT_GNU_STACK with PF_X): the stack is executable, so code written to it runs.
#include "proc.h"

int main(void)
{
    unsigned char code[] = {0xb8, PASS, 0, 0, 0, 0xc3}; // mov $42,%eax; ret
    __builtin___clear_cache(code, code + sizeof code);
    struct mapping stack = find_mapping("[stack]");
    CHECK(strcmp(stack.perms, "rwxp") == 0, "[stack] is %s, not rwxp", stack.perms);
    return ((int (*)(void))address_of(code))();
}
