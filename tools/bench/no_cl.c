/* tools/bench/no_cl.c: the gauge of an OpenCL device in a build without OpenCL. */
#include <stdio.h>

#include "tools/bench/gauge.h"

struct gauge *gauge_open_cl(int platform, int device, char *error, size_t error_size)
{
    (void)platform;
    (void)device;
    snprintf(error, error_size, "this build is without OpenCL");
    return NULL;
}
