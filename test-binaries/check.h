// Shared by the programs with a libc: the exit code for success, and checks that end the program with one line about
// the failure.
#ifndef CHECK_H
#define CHECK_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PASS = 42, PAGE = 4096 };

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(__FILE__, __LINE__, __VA_ARGS__);                                                                     \
    } while (0)

#define CHECK_EQUAL(value, wanted) check_equal(__FILE__, __LINE__, #value, (uint64_t)(value), (uint64_t)(wanted))

__attribute__((noreturn, cold, format(printf, 3, 4))) static inline void
fail(const char *file, int line, const char *format, ...)
{
    char reason[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(reason, sizeof reason, format, values);
    va_end(values);
    dprintf(2, "%s:%d: %s\n", file, line, reason);
    exit(1);
}

static inline void check_equal(const char *file, int line, const char *name, uint64_t value, uint64_t wanted)
{
    if (value != wanted)
        fail(file, line, "%s is %#lx, not %#lx", name, (unsigned long)value, (unsigned long)wanted);
}

// The address of an object, as a number that the compiler knows nothing about: no check is decided at compile time.
static inline uintptr_t address_of(const volatile void *object)
{
    uintptr_t address = (uintptr_t)object;
    __asm__("" : "+r"(address));
    return address;
}

static inline uintptr_t page_up(uintptr_t address)
{
    return (address + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
}

#endif
