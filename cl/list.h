/* cl/list.h: platforms and devices by index, and what the constructor makes of one. */
#ifndef ANL_CL_LIST_H
#define ANL_CL_LIST_H

#include "cl/cl.h"

#define ANL_CL_MAX_LIST 64 /* platforms, and devices of a platform */

/* cl/handles.c: the device that params name, its context and queue. Returns NULL, or why not. */
const char *anl_cl_open_handles(struct anl_cl_device *d, const struct anl_cl_params *params,
                                anl_status *status, cl_int *code);

/* out holds ANL_CL_MAX_LIST. */
cl_int anl_cl_platforms(const struct anl_cl_api *api, cl_platform_id *out, int *count);
int anl_cl_devices(const struct anl_cl_api *api, cl_platform_id platform, cl_device_id *out);

/* A device's text property, cut to size; "" if the driver does not tell. */
void anl_cl_device_text(const struct anl_cl_api *api, cl_device_id id, cl_device_info what, char *out,
                        size_t size);
void anl_cl_platform_name(const struct anl_cl_api *api, cl_platform_id id, char *out, size_t size);

#endif
