/*
 * GGUF files: opening and closing, the growing copy of the header, reading of tensor data, and the
 * making of error messages. The header is understood in gguf_parse.c.
 */
#define _POSIX_C_SOURCE 200809L

#include "checked.h"
#include "gguf_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* One pread asks for at most this much: some systems refuse more than 2 GiB. */
enum { READ_CHUNK = 1024 * 1024 * 1024, FIRST_READ = 64 * 1024 };

int gguf_fail(struct gguf_error *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return GGUF_FAIL;
}

struct gguf_quoted gguf_quote(const char *bytes, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    struct gguf_quoted q;
    size_t n = 0;
    size_t i = 0;

    q.text[n++] = '\'';
    /* An escape takes 4 bytes and the end ...' plus the terminator 5. */
    for (; i < len && n < sizeof q.text - 9; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c < 0x7f && c != '\\') {
            q.text[n++] = (char)c;
        } else {
            q.text[n++] = '\\';
            q.text[n++] = 'x';
            q.text[n++] = hex[c >> 4];
            q.text[n++] = hex[c & 15];
        }
    }
    for (int dots = 0; i < len && dots < 3; dots++)
        q.text[n++] = '.';
    q.text[n++] = '\'';
    q.text[n] = '\0';
    return q;
}

/* Reads exactly n bytes at offset. Returns n, or what there was before the end, or -1. */
static int64_t read_at(int fd, void *dst, uint64_t n, uint64_t offset)
{
    uint64_t done = 0;

    while (done < n) {
        uint64_t ask = n - done < READ_CHUNK ? n - done : READ_CHUNK;
        ssize_t got = pread(fd, (char *)dst + done, (size_t)ask, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    return (int64_t)done;
}

int gguf_need(struct gguf *g, uint64_t end, struct gguf_error *err)
{
    uint64_t size = FIRST_READ;
    uint8_t *grown;
    int64_t got;

    if (end <= g->have)
        return GGUF_OK;
    /* Steps of a half keep the copy within 1.5 times the header. */
    if (size < g->have + g->have / 2)
        size = g->have + g->have / 2;
    if (size < end)
        size = end;
    if (size > g->file_size)
        size = g->file_size;
    grown = realloc(g->owned, (size_t)size);
    if (grown == NULL)
        return gguf_fail(err, "no memory for the header: %llu bytes", (unsigned long long)size);
    g->owned = grown;
    g->base = grown;
    got = read_at(g->fd, grown + g->have, size - g->have, g->have);
    if (got < 0)
        return gguf_fail(err, "read error in the header: %s", strerror(errno));
    if ((uint64_t)got < size - g->have)
        return gguf_fail(err, "the file was cut short at byte %llu while its header was read",
                         (unsigned long long)(g->have + (uint64_t)got));
    g->have = (size_t)size;
    return GGUF_OK;
}

void gguf_trim(struct gguf *g, size_t size)
{
    uint8_t *smaller;

    if (g->owned == NULL || size >= g->have)
        return;
    smaller = realloc(g->owned, size);
    if (smaller == NULL)
        return;
    g->owned = smaller;
    g->base = smaller;
    g->have = size;
}

/* Opens path as a regular file and learns its size. O_NONBLOCK: a FIFO must not hang us. */
static int open_file(struct gguf *g, const char *path, struct gguf_error *err)
{
    struct stat st;

    g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (g->fd < 0)
        return gguf_fail(err, "cannot open the model file: %s", strerror(errno));
    if (fstat(g->fd, &st) != 0)
        return gguf_fail(err, "cannot ask for the model file's size: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return gguf_fail(err, "the model file is not a regular file");
    g->file_size = (uint64_t)st.st_size;
    return GGUF_OK;
}

int gguf_open(const char *path, struct gguf **out, struct gguf_error *err)
{
    struct gguf *g = calloc(1, sizeof *g);

    *out = NULL;
    if (g == NULL)
        return gguf_fail(err, "no memory for a model file");
    if (open_file(g, path, err) != GGUF_OK || gguf_parse(g, err) != GGUF_OK) {
        gguf_close(g);
        return GGUF_FAIL;
    }
    *out = g;
    return GGUF_OK;
}

int gguf_from_memory(const void *data, size_t size, struct gguf **out, struct gguf_error *err)
{
    struct gguf *g = calloc(1, sizeof *g);

    *out = NULL;
    if (g == NULL)
        return gguf_fail(err, "no memory for a model file");
    g->fd = -1;
    g->base = data;
    g->have = size;
    g->file_size = size;
    if (gguf_parse(g, err) != GGUF_OK) {
        gguf_close(g);
        return GGUF_FAIL;
    }
    *out = g;
    return GGUF_OK;
}

void gguf_close(struct gguf *g)
{
    if (g == NULL)
        return;
    if (g->fd >= 0)
        close(g->fd);
    free(g->owned);
    free(g->kv);
    free(g->kv_by_name);
    free(g->tensor);
    free(g->tensor_by_name);
    free(g);
}

uint64_t gguf_n_rows(const struct gguf_tensor *t)
{
    return t->dim[1] * t->dim[2] * t->dim[3];
}

uint64_t gguf_row_bytes(const struct gguf_tensor *t)
{
    return t->nbytes / gguf_n_rows(t);
}

int gguf_tensor_read(const struct gguf *g, const struct gguf_tensor *t, uint64_t row0, uint64_t n_rows,
                     void *dst, struct gguf_error *err)
{
    struct gguf_quoted name = gguf_quote(t->name, t->name_len);
    uint64_t row_bytes = gguf_row_bytes(t);
    uint64_t rows = gguf_n_rows(t);
    uint64_t size;
    uint64_t offset;
    int64_t got;

    if (row0 > rows || n_rows > rows - row0)
        return gguf_fail(err, "tensor %s: rows %llu and %llu more are past its %llu rows", name.text,
                         (unsigned long long)row0, (unsigned long long)n_rows,
                         (unsigned long long)rows);
    /* Neither can wrap: the parser saw that the whole tensor lies in the file. */
    size = n_rows * row_bytes;
    offset = t->offset + row0 * row_bytes;
    if (size == 0)
        return GGUF_OK;
    if (g->fd < 0) {
        memcpy(dst, g->base + offset, (size_t)size);
        return GGUF_OK;
    }
    got = read_at(g->fd, dst, size, offset);
    if (got >= 0 && (uint64_t)got == size)
        return GGUF_OK;
    memset(dst, 0, (size_t)size);
    if (got < 0)
        return gguf_fail(err, "tensor %s: read error: %s", name.text, strerror(errno));
    return gguf_fail(err, "tensor %s: the file was cut short at byte %llu after it was opened",
                     name.text, (unsigned long long)(offset + (uint64_t)got));
}
