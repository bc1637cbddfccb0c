// Signals: at the start no signal is caught, none of the 64 actions has a flag, mask or restorer, and there is no
// alternate stack. Handlers, nested ones and ones on an alternate stack then work. The inherited sets are printed.
#include "check.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

static volatile sig_atomic_t alarms, outer, inner, inner_at_end_of_outer;
static char alternate[1 << 16];

static void check_actions_and_print_ignored(void)
{
    printf("ignored");
    for (int number = 1; number <= 64; number++) {
        struct kernel_action action;
        CHECK_EQUAL(syscall(SYS_rt_sigaction, number, NULL, &action, 8), 0);
        CHECK(action.handler <= 1, "signal %d is caught", number);
        CHECK(action.flags == 0 && action.restorer == 0 && action.mask == 0, "signal %d: flags %#lx, %s, mask %#lx",
              number, action.flags, action.restorer ? "a restorer" : "no restorer", action.mask);
        if (action.handler == 1)
            printf(" %d", number);
    }
    puts("");
}

static void print_blocked(void)
{
    uint64_t mask;
    CHECK_EQUAL(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8), 0);
    printf("blocked %016lx\n", mask);
}

static void check_no_alternate_stack(void)
{
    stack_t stack;
    CHECK_EQUAL(sigaltstack(NULL, &stack), 0);
    CHECK_EQUAL(stack.ss_flags, SS_DISABLE);
    CHECK_EQUAL(stack.ss_size, 0);
}

static void unblock_all(void)
{
    sigset_t none;
    sigemptyset(&none);
    CHECK_EQUAL(sigprocmask(SIG_SETMASK, &none, NULL), 0);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK_EQUAL(sigaction(number, &action, NULL), 0);
}

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void check_timer(void)
{
    sigset_t alarm_only, none;
    sigemptyset(&none);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm_only, NULL);
    handle(SIGALRM, on_alarm, 0);
    struct itimerval timer = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 1000};
    CHECK_EQUAL(setitimer(ITIMER_REAL, &timer, NULL), 0);
    while (alarms < 3)
        sigsuspend(&none);
    timer = (struct itimerval){0};
    CHECK_EQUAL(setitimer(ITIMER_REAL, &timer, NULL), 0);
    sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
}

static void on_inner(int number)
{
    (void)number;
    char here;
    size_t offset = address_of(&here) - address_of(alternate);
    inner = offset < sizeof alternate ? 1 : -1;
}

static void on_outer(int number)
{
    (void)number;
    outer++;
    raise(SIGUSR2);
    inner_at_end_of_outer = inner;
}

static void check_nested_on_alternate_stack(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK_EQUAL(sigaltstack(&stack, NULL), 0);
    handle(SIGUSR1, on_outer, 0);
    handle(SIGUSR2, on_inner, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQUAL(outer, 1);
    CHECK_EQUAL(inner_at_end_of_outer, 1); // -1: not on the alternate stack
}

int main(void)
{
    check_actions_and_print_ignored();
    print_blocked();
    check_no_alternate_stack();
    unblock_all();
    check_timer();
    check_nested_on_alternate_stack();
    return PASS;
}
