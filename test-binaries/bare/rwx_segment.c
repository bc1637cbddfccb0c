// One PT_LOAD, readable, writable and executable: the program changes its own code and sees the change.
#include "bare.h"

#pragma GCC visibility push(hidden)
int answer(void);
extern volatile uint8_t answer_code[];
#pragma GCC visibility pop

__asm__(".globl answer, answer_code\n"
        "answer:\n"
        "answer_code:\n"
        "    mov $1, %eax\n"
        "    ret\n");

__attribute__((used)) static int run(void)
{
    CHECK(answer() == 1, "the code as loaded does not return 1, but", answer());
    answer_code[1] = PASS; // the operand of mov
    return answer();
}

PROGRAM(run);
