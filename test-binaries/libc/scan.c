// Searches all of its memory for a 16-byte mark of the old program: nothing of the old image may remain. Nothing of
// the emulator may remain either: no anonymous executable mapping and no memfd of its own.
// Usage: scan MARK, 32 hex digits, each byte XORed with 0x5a so that the argument is not itself the mark.
#include "proc.h"

enum { MARK = 16, KEY = 0x5a, CHUNK = 1 << 20 };

static unsigned char masked[MARK]; // memory never holds the plain mark; each byte is unmasked for itself
static unsigned char chunk[CHUNK + MARK - 1];
static int memory, findings;

static void parse_mark(const char *digits)
{
    CHECK(strlen(digits) == 2 * MARK, "the mark has %zu of %d hex digits", strlen(digits), 2 * MARK);
    for (int i = 0; i < MARK; i++)
        CHECK(sscanf(digits + 2 * i, "%2hhx", &masked[i]) == 1, "the mark is not hex at byte %d", i);
}

static bool is_mark(const unsigned char *bytes)
{
    for (int i = 0; i < MARK; i++)
        if ((bytes[i] ^ KEY) != masked[i])
            return false;
    return true;
}

static void report(const struct mapping *m, const char *what)
{
    dprintf(2, "scan: %s in %.*s\n", what, (int)(m->path + m->path_size - m->line), m->line);
    findings++;
}

// Read by the kernel, so that pages past the end of a file cause an error and not SIGBUS. Chunks overlap by MARK - 1.
static void scan(const struct mapping *m)
{
    for (unsigned long at = m->start; at < m->end;) {
        size_t wanted = m->end - at < sizeof chunk ? m->end - at : sizeof chunk;
        ssize_t count = pread(memory, chunk, wanted, at);
        for (ssize_t i = 0; i + MARK <= count; i++)
            if (is_mark(chunk + i))
                report(m, "the mark");
        if (count == (ssize_t)wanted)
            at += wanted == sizeof chunk ? CHUNK : wanted;
        else // an unreadable page
            at = page_up(at + (count > 0 ? count : 0) + 1);
    }
}

static bool starts_with(const struct mapping *m, const char *prefix)
{
    return strncmp(m->path, prefix, strlen(prefix)) == 0;
}

static void judge(const struct mapping *m)
{
    bool of_kernel = path_is(m, "[vdso]") || path_is(m, "[vsyscall]");
    bool of_file = m->inode != 0 && starts_with(m, "/");
    if (m->perms[2] == 'x' && !of_kernel && !of_file)
        report(m, "anonymous executable memory");
    if (memmem(m->path, m->path_size, "memfd:supplant", strlen("memfd:supplant")))
        report(m, "a file of the emulator");
}

int main(int argc, char **argv)
{
    static char maps[1 << 18];
    CHECK(argc == 2, "usage: scan MARK");
    parse_mark(argv[1]);
    memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    CHECK(memory >= 0, "/proc/self/mem: %s", strerror(errno));
    read_file("/proc/self/maps", maps, sizeof maps);

    const char *cursor = maps;
    struct mapping m;
    while (next_mapping(&cursor, &m)) {
        judge(&m);
        if (m.perms[0] == 'r')
            scan(&m);
    }
    return findings == 0 ? PASS : 1;
}
