// Constructors and destructors by priority, and atexit functions between them: the dynamic loader or the static start
// code runs them. A wrong rdx at the entry would be called at exit. Only the last destructor sets the code 42.
#include "check.h"

#include <string.h>
#include <unistd.h>

static void step(const char *name)
{
    static const char *const order[] = {
        "constructor 101", "constructor 102", "constructor", "main",          "atexit 2",
        "atexit 1",        "destructor",      "destructor 102", "destructor 101",
    };
    static size_t count;
    dprintf(1, "%s\n", name);
    if (count == sizeof order / sizeof *order || strcmp(order[count], name) != 0) {
        dprintf(2, "constructors: step %zu is \"%s\"\n", count, name);
        _exit(1);
    }
    count++;
}

__attribute__((constructor)) static void last_constructor(void)
{
    step("constructor");
}

__attribute__((constructor(102))) static void second_constructor(void)
{
    step("constructor 102");
}

__attribute__((constructor(101))) static void first_constructor(void)
{
    step("constructor 101");
}

__attribute__((destructor(101))) static void last_destructor(void)
{
    step("destructor 101");
    _exit(PASS);
}

__attribute__((destructor(102))) static void second_destructor(void)
{
    step("destructor 102");
}

__attribute__((destructor)) static void first_destructor(void)
{
    step("destructor");
}

static void first_registered(void)
{
    step("atexit 1");
}

static void last_registered(void)
{
    step("atexit 2");
}

int main(void)
{
    step("main");
    CHECK_EQUAL(atexit(first_registered), 0);
    CHECK_EQUAL(atexit(last_registered), 0);
    return 1;
}
