/* tools/cli_cache.h: OpenCL programs kept between runs, and the tiles that `annulet tune` found, one
 * file each per device, in ${XDG_CACHE_HOME:-~/.cache}/annulet. What cannot be read, is damaged or of
 * another version is as good as not there: programs are built again, tiles are the library's. */
#ifndef TOOLS_CLI_CACHE_H
#define TOOLS_CLI_CACHE_H

#include <stddef.h>

struct anl_cl_entry;
struct anl_device;

/* *size bytes to be freed, or NULL. */
void *cli_cache_load(const struct anl_cl_entry *entry, size_t *size);

/* Stores what the device built, if it differs from what was loaded. */
void cli_cache_store(const struct anl_cl_entry *entry, struct anl_device *device);

/* Tiles as anl_cl_params.tiles takes them, to be freed, or NULL: none of this device, driver and version. */
char *cli_tiles_load(const struct anl_cl_entry *entry);

/* Keeps them for the runs that follow; path becomes the file's. -1: not written, errno says why. */
int cli_tiles_store(const struct anl_cl_entry *entry, const char *lines, char *path, size_t size);

/* 1: the file is gone; 0: there was none; -1: it could not be removed, errno says why. */
int cli_tiles_forget(const struct anl_cl_entry *entry);

#define CLI_TILES_SUM ((size_t)21) /* bytes of the file's last line */

#endif
