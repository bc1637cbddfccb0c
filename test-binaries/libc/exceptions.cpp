// C++ exceptions across frames with destructors, and run-time types: the unwinder finds its tables with
// dl_iterate_phdr, which uses AT_PHDR and the headers in memory.
#include "check.h"

#include <stdexcept>
#include <string>

static int alive, destroyed;

struct Counted {
    Counted() { alive++; }
    ~Counted() { alive--, destroyed++; }
};

struct Base {
    virtual ~Base() = default;
};
struct Derived : Base {
    int value = 7;
};

[[gnu::noinline]] static int descend(int depth)
{
    Counted counted;
    if (depth == 0)
        throw std::runtime_error("from the bottom");
    return descend(depth - 1) + alive;
}

static void check_caught_after_all_destructors()
{
    try {
        descend(9);
        CHECK(false, "nothing was thrown");
    } catch (const std::runtime_error &error) {
        CHECK(std::string("from the bottom") == error.what(), "caught \"%s\"", error.what());
    }
    CHECK_EQUAL(alive, 0);
    CHECK_EQUAL(destroyed, 10);
}

static void check_rethrown()
{
    int seen = 0;
    try {
        try {
            throw 5;
        } catch (int value) {
            seen = value;
            throw;
        }
    } catch (...) {
        seen *= 2;
    }
    CHECK_EQUAL(seen, 10);
}

static void check_dynamic_cast(Base *derived, Base *base)
{
    auto *found = dynamic_cast<Derived *>(derived);
    CHECK(found && found->value == 7, "the derived object was not recognised");
    CHECK(!dynamic_cast<Derived *>(base), "the base object was taken for a derived one");
}

int main()
{
    Derived derived;
    Base base;
    check_caught_after_all_destructors();
    check_rethrown();
    check_dynamic_cast(&derived, &base);
    return PASS;
}
