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

/* The folder, made if need be; -1: there is none. */
static int cache_folder(char *path, size_t size)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (xdg != NULL && xdg[0] == '/')
        n = snprintf(path, size, "%s", xdg);
    else if (home != NULL && home[0] == '/')
        n = snprintf(path, size, "%s/.cache", home);
    else
        return -1;
    if (n < 0 || (size_t)n + sizeof "/annulet" > size)
        return -1;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;
    memcpy(path + n, "/annulet", sizeof "/annulet");
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -1 : 0;
}

/* The library itself passes over a blob of another driver or source: the name only keeps devices
 * and versions apart. */
static int cache_file(const struct anl_cl_entry *entry, char *path, size_t size)
{
    char key[512];
    size_t used;
    int n = snprintf(key, sizeof key, "%s|%s|%s|%s", anl_version(), entry->platform_name,
                     entry->name, entry->version);
    if (n < 0 || cache_folder(path, size) != 0)
        return -1;
    used = strlen(path);
    n = (int)strlen(key);
    int written = snprintf(path + used, size - used, "/%016llx.clcache",
                           (unsigned long long)XXH3_64bits(key, (size_t)n));
    return written < 0 || (size_t)written >= size - used ? -1 : 0;
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
    return cache_file(entry, path, sizeof path) == 0 ? read_whole(path, size) : NULL;
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

/* A reader sees the old file or the new one, never a part: a rename puts it in place. */
static void write_atomically(const char *path, const char *data, size_t size)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int fd = mkstemp(temporary);
    if (fd < 0)
        return;
    int failed = write_whole(fd, data, size) != 0;
    failed |= close(fd) != 0;
    if (failed || rename(temporary, path) != 0)
        unlink(temporary);
}

void cli_cache_store(const struct anl_cl_entry *entry, struct anl_device *device)
{
    char path[4096];
    size_t size = 0, old_size;
    char *data = NULL, *old = NULL;
    sigset_t held, before;
    if (cache_file(entry, path, sizeof path) != 0 ||
        anl_device_cache_get(device, NULL, 0, &size) != ANL_OK || size == 0 || size > MAX_BLOB ||
        (data = malloc(size)) == NULL ||
        anl_device_cache_get(device, data, size, &size) != ANL_OK)
        goto done;
    old = read_whole(path, &old_size);
    if (old != NULL && old_size == size && memcmp(old, data, size) == 0)
        goto done;
    /* Ctrl-C waits until the temporary file has become the file */
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, &before);
    write_atomically(path, data, size);
    sigprocmask(SIG_SETMASK, &before, NULL);
done:
    free(old);
    free(data);
}
