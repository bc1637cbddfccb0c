// The floating point environment: MXCSR and the x87 control word are the kernel's defaults, so 0/0 is a NaN and not a
// trap, until the program itself unmasks an exception and gets SIGFPE.
#include "check.h"

#include <signal.h>
#include <ucontext.h>
#include <xmmintrin.h>

static volatile sig_atomic_t code;

static void on_fpe(int number, siginfo_t *info, void *context)
{
    (void)number;
    code = info->si_code;
    ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr |= _MM_MASK_DIV_ZERO; // the division is repeated on return
}

static void check_initial_words(void)
{
    uint16_t control;
    __asm__("fnstcw %0" : "=m"(control));
    CHECK_EQUAL(_mm_getcsr(), 0x1f80);
    CHECK_EQUAL(control, 0x37f);
}

int main(void)
{
    check_initial_words();
    volatile double zero = 0, one = 1, quotient = zero / zero;
    CHECK(quotient != quotient, "0/0 is %f", quotient);

    struct sigaction action = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO};
    CHECK_EQUAL(sigaction(SIGFPE, &action, NULL), 0);
    _mm_setcsr(_mm_getcsr() & ~_MM_MASK_DIV_ZERO);
    quotient = one / zero;
    CHECK_EQUAL(code, FPE_FLTDIV);
    CHECK(quotient > 1e308, "1/0 is %f", quotient);
    return PASS;
}
