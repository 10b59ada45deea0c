/* tools/cli_cache.h: OpenCL programs kept between runs, one file per device, in
 * ${XDG_CACHE_HOME:-~/.cache}/annulet. Failures are silent: the programs are then built again. */
#ifndef TOOLS_CLI_CACHE_H
#define TOOLS_CLI_CACHE_H

#include <stddef.h>

struct anl_cl_entry;
struct anl_device;

/* *size bytes to be freed, or NULL. */
void *cli_cache_load(const struct anl_cl_entry *entry, size_t *size);

/* Stores what the device built, if it differs from what was loaded. */
void cli_cache_store(const struct anl_cl_entry *entry, struct anl_device *device);

#endif
