// Reads what /proc says of this process, without malloc: reading must not create a heap.
#ifndef PROC_H
#define PROC_H

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

struct mapping {
    unsigned long start, end, offset, inode;
    char perms[5], dev[16];
    const char *line, *path; // into the text that was parsed; both end at a newline
    int path_size;
};

// The whole file, followed by a NUL. Returns the size without the NUL.
static inline size_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, "%s: %s", path, strerror(errno));
    size_t filled = 0;
    ssize_t count;
    while ((count = read(fd, buffer + filled, size - 1 - filled)) > 0)
        filled += count;
    CHECK(count == 0, "%s: %s", path, strerror(errno));
    CHECK(filled < size - 1, "%s: more than %zu bytes", path, size);
    close(fd);
    buffer[filled] = 0;
    return filled;
}

// Field `number` of /proc/self/stat, counted from 1 as proc(5) does; 3 is the smallest.
static inline unsigned long stat_field(int number)
{
    char text[4096];
    read_file("/proc/self/stat", text, sizeof text);
    char *field = strrchr(text, ')') + 2;
    for (int i = 3; i < number; i++)
        field = strchr(field, ' ') + 1;
    return strtoul(field, NULL, 10);
}

// The mapping at *cursor, which moves to the next line of the text of /proc/self/maps; false at the end of the text.
static inline bool next_mapping(const char **cursor, struct mapping *m)
{
    if (**cursor == 0)
        return false;
    int path_at = 0;
    m->line = *cursor;
    int fields = sscanf(m->line, "%lx-%lx %4s %lx %15s %lu%*[ ]%n", &m->start, &m->end, m->perms, &m->offset, m->dev,
                        &m->inode, &path_at);
    const char *line_end = strchr(m->line, '\n');
    CHECK(fields == 6 && line_end, "a line of maps has %d of 6 fields", fields);
    m->path = path_at && m->line + path_at < line_end ? m->line + path_at : line_end;
    m->path_size = line_end - m->path;
    *cursor = line_end + 1;
    return true;
}

static inline bool path_is(const struct mapping *m, const char *path)
{
    return strlen(path) == (size_t)m->path_size && memcmp(m->path, path, m->path_size) == 0;
}

static inline struct mapping find_mapping(const char *path)
{
    static char text[1 << 18];
    read_file("/proc/self/maps", text, sizeof text);
    const char *cursor = text;
    struct mapping m;
    while (next_mapping(&cursor, &m))
        if (path_is(&m, path))
            return m;
    CHECK(false, "no mapping is called %s", path);
}

#endif
