/* tools/cli_cache.c: see cli_cache.h. */
#include "tools/cli_cache.h"

#include <annulet/annulet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MAX_BLOB ((size_t)256 << 20)

/* The folder, made if need be; -1: there is none, errno says why. */
static int cache_folder(char *path, size_t size)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (xdg != NULL && xdg[0] == '/') {
        n = snprintf(path, size, "%s", xdg);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(path, size, "%s/.cache", home);
    } else {
        errno = ENOENT;
        return -1;
    }
    if (n < 0 || (size_t)n + sizeof "/annulet" > size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;
    memcpy(path + n, "/annulet", sizeof "/annulet");
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -1 : 0;
}

/* The library itself passes over a blob of another driver or source, and tiles name their driver: the
 * name only keeps devices and versions apart. */
static int cache_file(const struct anl_cl_entry *entry, const char *kind, char *path, size_t size)
{
    char key[512];
    size_t used;
    int n = snprintf(key, sizeof key, "%s|%s|%s|%s", anl_version(), entry->platform_name,
                     entry->name, entry->version);
    if (n < 0 || cache_folder(path, size) != 0)
        return -1;
    used = strlen(path);
    n = (int)strlen(key);
    int written = snprintf(path + used, size - used, "/%016llx.%s",
                           (unsigned long long)XXH3_64bits(key, (size_t)n), kind);
    if (written >= 0 && (size_t)written < size - used)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

static void *read_whole(const char *path, size_t *size)
{
    struct stat st;
    char *data = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        (uint64_t)st.st_size > MAX_BLOB || (data = malloc((size_t)st.st_size)) == NULL)
        goto fail;
    *size = (size_t)st.st_size;
    for (size_t at = 0; at < *size;) {
        ssize_t n = read(fd, data + at, *size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            goto fail;
        at += (size_t)n;
    }
    close(fd);
    return data;
fail:
    free(data);
    close(fd);
    return NULL;
}

void *cli_cache_load(const struct anl_cl_entry *entry, size_t *size)
{
    char path[4096];
    *size = 0;
    return cache_file(entry, "clcache", path, sizeof path) == 0 ? read_whole(path, size) : NULL;
}

static int write_whole(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        size -= (size_t)n;
    }
    return fsync(fd);
}

static int replace_file(const char *path, const char *data, size_t size)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int fd = mkstemp(temporary);
    if (fd < 0)
        return -1;
    int failed = write_whole(fd, data, size) != 0;
    failed |= close(fd) != 0;
    if (!failed && rename(temporary, path) == 0)
        return 0;
    unlink(temporary);
    return -1;
}

/* A reader sees the old file or the new one, never a part: a rename puts it in place. Ctrl-C waits until
 * the temporary file has become the file. */
static int write_atomically(const char *path, const char *data, size_t size)
{
    sigset_t held, before;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, &before);
    int failed = replace_file(path, data, size);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return failed;
}

void cli_cache_store(const struct anl_cl_entry *entry, struct anl_device *device)
{
    char path[4096];
    size_t size = 0, old_size;
    char *data = NULL, *old = NULL;
    if (cache_file(entry, "clcache", path, sizeof path) != 0 ||
        anl_device_cache_get(device, NULL, 0, &size) != ANL_OK || size == 0 || size > MAX_BLOB ||
        (data = malloc(size)) == NULL ||
        anl_device_cache_get(device, data, size, &size) != ANL_OK)
        goto done;
    old = read_whole(path, &old_size);
    if (old != NULL && old_size == size && memcmp(old, data, size) == 0)
        goto done;
    write_atomically(path, data, size);
done:
    free(old);
    free(data);
}

#define MAX_TILES ((size_t)4096)

/* All that comes before the lines: whose they are. */
static size_t tiles_head(const struct anl_cl_entry *entry, char *text, size_t size)
{
    int n = snprintf(text, size, "annulet %s tiles of %s, driver %s\n", anl_version(), entry->name,
                     entry->driver);
    return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

char *cli_tiles_load(const struct anl_cl_entry *entry)
{
    char path[4096], head[512], sum[32];
    size_t size = 0, lines, n = tiles_head(entry, head, sizeof head);
    char *text = cache_file(entry, "tiles", path, sizeof path) == 0 ? read_whole(path, &size) : NULL;
    if (text == NULL || n == 0 || size > MAX_TILES || size < n + CLI_TILES_SUM ||
        memcmp(text, head, n) != 0)
        goto none;
    lines = size - n - CLI_TILES_SUM;
    snprintf(sum, sizeof sum, "sum %016llx\n",
             (unsigned long long)XXH3_64bits(text, size - CLI_TILES_SUM));
    if (memcmp(text + size - CLI_TILES_SUM, sum, CLI_TILES_SUM) != 0)
        goto none;
    memmove(text, text + n, lines);
    text[lines] = 0;
    return text;
none:
    free(text);
    return NULL;
}

int cli_tiles_store(const struct anl_cl_entry *entry, const char *lines, char *path, size_t size)
{
    char text[MAX_TILES + CLI_TILES_SUM + 1];
    size_t n = tiles_head(entry, text, sizeof text), length = strlen(lines);
    if (n == 0 || n + length + CLI_TILES_SUM > MAX_TILES) {
        errno = EFBIG;
        return -1;
    }
    if (cache_file(entry, "tiles", path, size) != 0)
        return -1;
    memcpy(text + n, lines, length);
    n += length;
    snprintf(text + n, sizeof text - n, "sum %016llx\n", (unsigned long long)XXH3_64bits(text, n));
    return write_atomically(path, text, n + CLI_TILES_SUM);
}

int cli_tiles_forget(const struct anl_cl_entry *entry)
{
    char path[4096];
    if (cache_file(entry, "tiles", path, sizeof path) != 0)
        return 0;
    return unlink(path) == 0 ? 1 : errno == ENOENT ? 0 : -1;
}
