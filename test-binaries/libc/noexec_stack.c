// Linked as usual (PT_GNU_STACK without PF_X): the stack is not executable, even if the old program had such a stack.
#include "proc.h"

int main(void)
{
    struct mapping stack = find_mapping("[stack]");
    CHECK(strcmp(stack.perms, "rw-p") == 0, "[stack] is %s, not rw-p", stack.perms);
    return PASS;
}
