/* cl/list.h: platforms and devices by index, shared by the list and the constructor. */
#ifndef ANL_CL_LIST_H
#define ANL_CL_LIST_H

#include "cl/cl.h"

#define ANL_CL_MAX_LIST 64 /* platforms, and devices of a platform */

/* out holds ANL_CL_MAX_LIST. */
cl_int anl_cl_platforms(const struct anl_cl_api *api, cl_platform_id *out, int *count);
int anl_cl_devices(const struct anl_cl_api *api, cl_platform_id platform, cl_device_id *out);

/* A device's text property, cut to size; "" if the driver does not tell. */
void anl_cl_device_text(const struct anl_cl_api *api, cl_device_id id, cl_device_info what, char *out,
                        size_t size);
void anl_cl_platform_name(const struct anl_cl_api *api, cl_platform_id id, char *out, size_t size);

#endif
