/* tools/bench/gauge.h: what the machine itself can do, measured again and again between the rounds of
 * a bench: chains of fma that depend on nothing but themselves, and reading memory far beyond the
 * caches. A device's speed is told as a part of these, since neighbours and clocks change them. */
#ifndef BENCH_GAUGE_H
#define BENCH_GAUGE_H

#include <annulet/annulet.h>

/* The caller's objects for an OpenCL device: shared by the gauge and annulet. NULL: none. */
struct gauge_cl {
    void *context, *device, *queue;
};

struct gauge;

/* For a CPU or law device: threads of the instruction set that info.detail names. NULL: no memory. */
struct gauge *gauge_open_cpu(const struct anl_device_info *info);

/* For an OpenCL device by its numbers as anl_cl_list() counts them. NULL: error says why. */
struct gauge *gauge_open_cl(int platform, int device, char *error, size_t error_size);

void gauge_close(struct gauge *gauge); /* NULL is fine; devices on its OpenCL objects go first */

/* Of a gauge of an OpenCL device, else NULLs. */
struct gauge_cl gauge_handles(const struct gauge *gauge);

/* One measurement of some 10 ms each: float operations a second (an fma is two), bytes read a
 * second. 0: the device failed. */
double gauge_flops(struct gauge *gauge);
double gauge_bandwidth(struct gauge *gauge);

/* Seconds, from an arbitrary start. */
double gauge_now(void);

#endif
