// Prints what the process sees of itself, one "key value" per line in a stable order, to compare a process started by
// the kernel with one started by an emulator. Uses no malloc and reads maps first, so that it creates no heap.
#include "proc.h"

#include <elf.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char text[1 << 23];   // the file being printed; arguments and environment may have 6 MiB
static char output[1 << 16]; // output that is not yet written
static size_t output_size;

static void flush(void)
{
    for (size_t done = 0; done < output_size;) {
        ssize_t count = write(1, output + done, output_size - done);
        CHECK(count > 0, "write: %s", strerror(errno));
        done += count;
    }
    output_size = 0;
}

static void put(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (output_size == sizeof output)
            flush();
        output[output_size++] = bytes[i];
    }
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    char line[2 * PAGE];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    CHECK(size >= 0 && (size_t)size < sizeof line, "a line of %d bytes", size);
    put(line, size);
}

// The lines of a text, each after the key.
static void tell_lines(const char *key, const char *lines)
{
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
        tell("%s ", key);
        put(lines, end + 1 - lines);
    }
}

static void tell_maps(void)
{
    read_file("/proc/self/maps", text, sizeof text);
    tell_lines("maps", text);
}

static void tell_stat(void)
{
    static const struct {
        const char *name;
        int number;
    } fields[] = {
        {"startcode", 26}, {"endcode", 27},   {"startstack", 28}, {"start_data", 45}, {"end_data", 46},
        {"start_brk", 47}, {"arg_start", 48}, {"arg_end", 49},    {"env_start", 50},  {"env_end", 51},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        tell("stat.%s %#lx\n", fields[i].name, stat_field(fields[i].number));
}

static void tell_comm(void)
{
    read_file("/proc/self/comm", text, sizeof text);
    tell_lines("comm", text);
}

// A file of NUL-terminated strings: printable bytes are unchanged, others and \ become \xNN.
static void tell_escaped(const char *key, const char *path)
{
    size_t size = read_file(path, text, sizeof text);
    tell("%s ", key);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = text[i];
        if (byte >= ' ' && byte <= '~' && byte != '\\')
            put(&text[i], 1);
        else
            tell("\\x%02x", byte);
    }
    put("\n", 1);
}

static void tell_auxv(char **envp)
{
    while (*envp)
        envp++;
    const Elf64_auxv_t *pair = (const Elf64_auxv_t *)(envp + 1);
    do
        tell("auxv %lu %#lx\n", pair->a_type, pair->a_un.a_val);
    while ((pair++)->a_type != AT_NULL);
}

static void tell_link(const char *key, const char *path)
{
    char target[PAGE];
    ssize_t size = readlink(path, target, sizeof target - 1);
    CHECK(size >= 0, "%s: %s", path, strerror(errno));
    target[size] = 0;
    tell("%s %s\n", key, target);
}

static void tell_descriptor(const char *number)
{
    char key[32], path[64];
    snprintf(key, sizeof key, "fd %s", number);
    snprintf(path, sizeof path, "/proc/self/fd/%s", number);
    tell_link(key, path);
}

static void tell_descriptors(void)
{
    struct entry {
        uint64_t inode, offset;
        unsigned short size;
        unsigned char type;
        char name[];
    };
    int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(list >= 0, "/proc/self/fd: %s", strerror(errno));
    long count;
    while ((count = syscall(SYS_getdents64, list, text, sizeof text)) > 0)
        for (long at = 0; at < count;) {
            const struct entry *entry = (const struct entry *)(text + at);
            if (entry->name[0] != '.' && atoi(entry->name) != list)
                tell_descriptor(entry->name);
            at += entry->size;
        }
    CHECK_EQUAL(count, 0);
    close(list);
}

// The lines of `text` that start with one of the names, as "KEY.NAME VALUE".
static void tell_named_lines(const char *key, const char *const *names)
{
    for (; *names; names++) {
        size_t size = strlen(*names);
        const char *line = text;
        while (line && (strncmp(line, *names, size) != 0 || line[size] != ':'))
            line = (line = strchr(line, '\n')) ? line + 1 : NULL;
        CHECK(line, "no line %s", *names);
        line += size + 1;
        line += strspn(line, " \t");
        tell("%s.%s %.*s\n", key, *names, (int)strcspn(line, "\n"), line);
    }
}

static void tell_status(void)
{
    static const char *const names[] = {"Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt",     "Uid", "Gid",
                                        "CapInh",  "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", NULL};
    read_file("/proc/self/status", text, sizeof text);
    tell_named_lines("status", names);
}

static void tell_stack_mapping(void)
{
    static const char *const names[] = {"Size", "KernelPageSize", "Locked", "VmFlags", NULL};
    read_file("/proc/self/smaps", text, sizeof text);
    char *stack = strstr(text, " [stack]\n");
    CHECK(stack, "no [stack] in smaps");
    memmove(text, stack, strlen(stack) + 1);
    tell_named_lines("stack", names);
}

static void tell_limits(void)
{
    static const char *const names[] = {
        "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
        "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime",
    };
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        CHECK_EQUAL(getrlimit(i, &limit), 0);
        tell("rlimit.%s %#lx %#lx\n", names[i], (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    }
}

static void tell_umask(void)
{
    mode_t mask = umask(0);
    umask(mask);
    tell("umask %03o\n", mask);
}

int main(int argc, char **argv, char **envp)
{
    tell_maps();
    tell("argc %d\n", argc);
    tell("sp %#lx\n", address_of(argv - 1)); // at the entry it points at argc
    tell_stat();
    tell_comm();
    tell_escaped("cmdline", "/proc/self/cmdline");
    tell_escaped("environ", "/proc/self/environ");
    tell_auxv(envp);
    tell_link("exe", "/proc/self/exe");
    tell_link("cwd", "/proc/self/cwd");
    tell_descriptors();
    tell_status();
    tell_stack_mapping();
    tell_limits();
    tell("personality %#x\n", personality(0xffffffff));
    tell("dumpable %d\n", prctl(PR_GET_DUMPABLE));
    tell("nice %d\n", getpriority(PRIO_PROCESS, 0));
    tell_umask();
    flush();
    return PASS;
}
