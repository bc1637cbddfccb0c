// The auxiliary vector: every value that a libc or a dynamic loader uses is compared with its source. The program
// opens AT_EXECFN and not /proc/self/exe: without privilege an exec emulator cannot change the latter.
#include "proc.h"

#include <elf.h>

enum { MOST_PAIRS = 64 };

static const Elf64_auxv_t *auxv;

static size_t pair_count(void) // with AT_NULL
{
    size_t count = 1;
    while (auxv[count - 1].a_type != AT_NULL)
        count++;
    CHECK(count <= MOST_PAIRS, "%zu pairs, over %d", count, MOST_PAIRS);
    return count;
}

static uint64_t value(uint64_t tag)
{
    for (const Elf64_auxv_t *pair = auxv; pair->a_type != AT_NULL; pair++)
        if (pair->a_type == tag)
            return pair->a_un.a_val;
    CHECK(0, "tag %lu is missing", tag);
}

static void check_magic(const char *name, uint64_t address)
{
    CHECK(address && memcmp((const void *)address, ELFMAG, SELFMAG) == 0, "%s is not the address of an ELF file", name);
}

static void check_program_headers(void)
{
    const char *path = (const char *)value(AT_EXECFN);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0, "AT_EXECFN %s: %s", path, strerror(errno));
    Elf64_Ehdr header;
    CHECK(pread(fd, &header, sizeof header, 0) == sizeof header, "%s: no ELF header", path);
    CHECK_EQUAL(value(AT_PHENT), 56);
    CHECK_EQUAL(value(AT_PHNUM), header.e_phnum);

    static char table[64 * sizeof(Elf64_Phdr)];
    ssize_t size = header.e_phnum * sizeof(Elf64_Phdr);
    CHECK(pread(fd, table, size, header.e_phoff) == size, "%s: %zd bytes of program headers expected", path, size);
    CHECK(memcmp(table, (const void *)value(AT_PHDR), size) == 0, "AT_PHDR does not hold the file's program headers");
    close(fd);
}

static void check_interpreter(void)
{
    const Elf64_Phdr *headers = (const Elf64_Phdr *)value(AT_PHDR);
    for (uint64_t i = 0; i < value(AT_PHNUM); i++)
        if (headers[i].p_type == PT_INTERP) {
            check_magic("AT_BASE", value(AT_BASE)); // both libcs link their loader at 0
            return;
        }
    CHECK_EQUAL(value(AT_BASE), 0);
}

static void check_strings(void)
{
    static const unsigned char zero[16];
    const char *platform = (const char *)value(AT_PLATFORM);
    CHECK(strcmp(platform, "x86_64") == 0, "AT_PLATFORM is %s", platform);
    CHECK(memcmp((const void *)value(AT_RANDOM), zero, sizeof zero) != 0, "AT_RANDOM holds 16 zeros");
}

static void check_same_in_proc(void)
{
    static char pairs[(MOST_PAIRS + 1) * sizeof *auxv];
    size_t size = pair_count() * sizeof *auxv;
    CHECK_EQUAL(read_file("/proc/self/auxv", pairs, sizeof pairs), size);
    CHECK(memcmp(pairs, auxv, size) == 0, "/proc/self/auxv differs from the stack");
}

int main(int argc, char **argv, char **envp)
{
    extern char _start[];
    (void)argc;
    while (*envp)
        envp++;
    auxv = (const Elf64_auxv_t *)(envp + 1);

    check_program_headers();
    check_interpreter();
    check_strings();
    check_same_in_proc();
    check_magic("AT_SYSINFO_EHDR", value(AT_SYSINFO_EHDR));
    CHECK_EQUAL(value(AT_PAGESZ), PAGE);
    CHECK_EQUAL(value(AT_CLKTCK), 100);
    CHECK_EQUAL(value(AT_ENTRY), address_of(_start));
    CHECK_EQUAL(value(AT_SECURE), 0);
    CHECK_EQUAL(value(AT_UID), getuid());
    CHECK_EQUAL(value(AT_EUID), geteuid());
    CHECK_EQUAL(value(AT_GID), getgid());
    CHECK_EQUAL(value(AT_EGID), getegid());
    CHECK_EQUAL(address_of(argv - 1) % 16, 0); // the stack pointer at the entry points at argc

    printf("execfn %s\ntags", (const char *)value(AT_EXECFN));
    for (size_t i = 0; i < pair_count(); i++)
        printf(" %lu", auxv[i].a_type);
    puts("");
    return PASS;
}
