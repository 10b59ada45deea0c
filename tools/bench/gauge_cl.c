/* tools/bench/gauge_cl.c: an OpenCL device's gauge. It has its own context and queue, which annulet is
 * given too; libOpenCL is opened at run time, so that the tool links none. */
#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/gauge_impl.h"

#define WINDOW (1.0e-2) /* seconds that one measurement shall take, or a little more */
#define GROUP 128
#define CHAINS 12
#define MAX_LIST 64
#define MIB ((uint64_t)1 << 20)

/* clang-format off */
#define FUNCTIONS(X) \
    X(clGetPlatformIDs) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext) X(clReleaseContext) \
    X(clCreateCommandQueue) X(clReleaseCommandQueue) X(clCreateBuffer) X(clReleaseMemObject) \
    X(clCreateProgramWithSource) X(clBuildProgram) X(clReleaseProgram) X(clCreateKernel) \
    X(clSetKernelArg) X(clReleaseKernel) X(clEnqueueNDRangeKernel) X(clFinish)
/* clang-format on */

/* What may be the best of a GPU, and of a CPU; both are tried when the gauge is opened. */
enum { WIDTHS = 2 };
static const struct width {
    const char *options;
    int floats;
} gpu_widths[WIDTHS] = { { "-DT=float -DFIRST= -DSTEPS=0 -DACROSS=1", 1 },
                         { "-DT=float4 -DFIRST=.s0 -DSTEPS=0,1,2,3 -DACROSS=1", 4 } },
  cpu_widths[WIDTHS] = { { "-DT=float8 -DFIRST=.s0 -DSTEPS=0,1,2,3,4,5,6,7 -DACROSS=0", 8 },
                         { "-DT=float16 -DFIRST=.s0 -DACROSS=0 "
                           "-DSTEPS=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", 16 } };

struct cl_gauge {
    struct gauge base;
#define FIELD(f) __typeof__(&f) f;
    FUNCTIONS(FIELD)
#undef FIELD
    cl_context context;
    cl_device_id device;
    cl_command_queue queue;
    const struct width *widths;
    cl_program program[WIDTHS];
    cl_kernel fma[WIDTHS], read[WIDTHS];
    cl_mem memory, out;
    uint64_t bytes; /* of memory */
    size_t items;   /* work-items of a launch */
    int fastest, widest; /* the widths of the best fma and read kernels */
    cl_int turns;        /* that fill a window */
    int reads;
};

extern const char gauge_kernels[]; /* gauge.cl, put into the program by the build */

static int find_functions(struct cl_gauge *g)
{
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL), *symbol;
    if (library == NULL)
        library = dlopen("libOpenCL.so", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return 0;
#define FIND(f)                          \
    if ((symbol = dlsym(library, #f)) == NULL) \
        return 0;                        \
    memcpy(&g->f, &symbol, sizeof symbol);
    FUNCTIONS(FIND)
#undef FIND
    return 1;
}

static int find_device(struct cl_gauge *g, int platform, int device)
{
    cl_platform_id platforms[MAX_LIST];
    cl_device_id devices[MAX_LIST];
    cl_uint n = 0;
    if (g->clGetPlatformIDs(MAX_LIST, platforms, &n) || (cl_uint)platform >= n ||
        platform >= MAX_LIST)
        return 0;
    n = 0;
    if (g->clGetDeviceIDs(platforms[platform], CL_DEVICE_TYPE_ALL, MAX_LIST, devices, &n) ||
        (cl_uint)device >= n || device >= MAX_LIST)
        return 0;
    g->device = devices[device];
    return 1;
}

static cl_int launch(struct cl_gauge *g, cl_kernel kernel, int times)
{
    const size_t group = GROUP;
    cl_int code = CL_SUCCESS;
    for (int i = 0; i < times && code == CL_SUCCESS; i++)
        code = g->clEnqueueNDRangeKernel(g->queue, kernel, 1, NULL, &g->items, &group, 0, NULL, NULL);
    return code != CL_SUCCESS ? code : g->clFinish(g->queue);
}

/* Float operations a second at this width; 0: failed. */
static double measure_fma(struct cl_gauge *g, int width, double *seconds)
{
    cl_kernel kernel = g->fma[width];
    double flop = 2.0 * CHAINS * g->widths[width].floats * (double)g->items * g->turns;
    double start = gauge_now();
    if (kernel == NULL || g->clSetKernelArg(kernel, 1, sizeof g->turns, &g->turns) ||
        launch(g, kernel, 1))
        return 0;
    *seconds = gauge_now() - start;
    return flop / *seconds;
}

static double measure_read(struct cl_gauge *g, int width, double *seconds)
{
    double start = gauge_now();
    if (g->read[width] == NULL || launch(g, g->read[width], g->reads))
        return 0;
    *seconds = gauge_now() - start;
    return (double)g->bytes * g->reads / *seconds;
}

static double flops(struct gauge *gauge)
{
    struct cl_gauge *g = (struct cl_gauge *)gauge;
    double seconds;
    return measure_fma(g, g->fastest, &seconds);
}

static double bandwidth(struct gauge *gauge)
{
    struct cl_gauge *g = (struct cl_gauge *)gauge;
    double seconds;
    return measure_read(g, g->widest, &seconds);
}

static void close_cl(struct gauge *gauge)
{
    struct cl_gauge *g = (struct cl_gauge *)gauge;
    for (int w = 0; w < WIDTHS; w++) {
        if (g->fma[w] != NULL)
            g->clReleaseKernel(g->fma[w]);
        if (g->read[w] != NULL)
            g->clReleaseKernel(g->read[w]);
        if (g->program[w] != NULL)
            g->clReleaseProgram(g->program[w]);
    }
    if (g->memory != NULL)
        g->clReleaseMemObject(g->memory);
    if (g->out != NULL)
        g->clReleaseMemObject(g->out);
    if (g->queue != NULL)
        g->clReleaseCommandQueue(g->queue);
    if (g->context != NULL)
        g->clReleaseContext(g->context);
    free(g);
}

static const struct gauge_kind kind = { flops, bandwidth, close_cl };

/* How many of a width the memory holds. */
static cl_ulong values(const struct cl_gauge *g, int w)
{
    return g->bytes / sizeof(cl_float) / (cl_ulong)g->widths[w].floats;
}

/* The kernels of one width; one that a device does not take is left out. */
static void build(struct cl_gauge *g, int w)
{
    const char *text = gauge_kernels;
    const cl_float start = 1, factor = 0.999f, addend = 0.001f, never = -1;
    cl_int code;
    cl_ulong n = values(g, w);
    g->program[w] = g->clCreateProgramWithSource(g->context, 1, &text, NULL, &code);
    if (g->program[w] == NULL ||
        g->clBuildProgram(g->program[w], 1, &g->device, g->widths[w].options, NULL, NULL))
        return;
    g->fma[w] = g->clCreateKernel(g->program[w], "gauge_fma", &code);
    g->read[w] = g->clCreateKernel(g->program[w], "gauge_read", &code);
    if (g->fma[w] == NULL || g->read[w] == NULL)
        return;
    g->clSetKernelArg(g->fma[w], 0, sizeof g->out, &g->out);
    g->clSetKernelArg(g->fma[w], 2, sizeof start, &start);
    g->clSetKernelArg(g->fma[w], 3, sizeof factor, &factor);
    g->clSetKernelArg(g->fma[w], 4, sizeof addend, &addend);
    g->clSetKernelArg(g->fma[w], 5, sizeof never, &never);
    g->clSetKernelArg(g->read[w], 0, sizeof g->memory, &g->memory);
    g->clSetKernelArg(g->read[w], 1, sizeof g->out, &g->out);
    g->clSetKernelArg(g->read[w], 2, sizeof n, &n);
    g->clSetKernelArg(g->read[w], 3, sizeof never, &never);
}

/* Fresh memory may be no memory at all until it is written. */
static cl_int fill(struct cl_gauge *g)
{
    cl_int code;
    cl_ulong n = values(g, 0);
    cl_kernel kernel =
        g->program[0] != NULL ? g->clCreateKernel(g->program[0], "gauge_fill", &code) : NULL;
    if (kernel == NULL)
        return CL_INVALID_PROGRAM;
    g->clSetKernelArg(kernel, 0, sizeof g->memory, &g->memory);
    g->clSetKernelArg(kernel, 1, sizeof n, &n);
    code = launch(g, kernel, 1);
    g->clReleaseKernel(kernel);
    return code;
}

/* The best width, then as much work as fills a window at it. */
static int choose_fma(struct cl_gauge *g)
{
    double best = 0, seconds = 0;
    g->turns = 8; /* an emulated fma takes its time */
    for (int w = 0; w < 2 * WIDTHS; w++) { /* twice: the first launch of a kernel is slow */
        double speed = measure_fma(g, w % WIDTHS, &seconds);
        if (speed > best) {
            best = speed;
            g->fastest = w % WIDTHS;
        }
    }
    for (; best > 0 && g->turns < 1 << 24; g->turns *= 2) {
        if (measure_fma(g, g->fastest, &seconds) <= 0)
            return 0;
        if (seconds >= WINDOW)
            break;
    }
    return best > 0;
}

static int choose_read(struct cl_gauge *g)
{
    double best = 0, seconds = 0;
    g->reads = 1;
    for (int w = 0; w < 2 * WIDTHS; w++) {
        double speed = measure_read(g, w % WIDTHS, &seconds);
        if (speed > best) {
            best = speed;
            g->widest = w % WIDTHS;
        }
    }
    if (best <= 0)
        return 0;
    g->reads = (int)(WINDOW * best / (double)g->bytes) + 1;
    return 1;
}

/* Buffers that suit the device, its kernels, and the best of them. */
static int set_up(struct cl_gauge *g)
{
    cl_int code;
    cl_uint units = 1;
    cl_ulong most = 0, all = 0;
    cl_device_type type = 0;
    g->clGetDeviceInfo(g->device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    g->widths = type & CL_DEVICE_TYPE_CPU ? cpu_widths : gpu_widths;
    g->clGetDeviceInfo(g->device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    g->clGetDeviceInfo(g->device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof most, &most, NULL);
    g->clGetDeviceInfo(g->device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof all, &all, NULL);
    g->items = (size_t)units * GROUP * 32;
    g->bytes = 1024 * MIB;
    g->bytes = g->bytes < most ? g->bytes : most;
    g->bytes = g->bytes < all / 8 ? g->bytes : all / 8;
    /* four values of the widest type for each work-item, or a multiple */
    g->bytes = g->bytes / (g->items * 4 * 64) * (g->items * 4 * 64);
    g->memory = g->clCreateBuffer(g->context, CL_MEM_READ_WRITE, (size_t)g->bytes, NULL, &code);
    g->out = g->clCreateBuffer(g->context, CL_MEM_READ_WRITE, 64, NULL, &code);
    if (g->bytes == 0 || g->memory == NULL || g->out == NULL)
        return 0;
    for (int w = 0; w < WIDTHS; w++)
        build(g, w);
    return fill(g) == CL_SUCCESS && choose_fma(g) && choose_read(g);
}

struct gauge *gauge_open_cl(int platform, int device, char *error, size_t error_size)
{
    struct cl_gauge *g = calloc(1, sizeof *g);
    const char *why = "out of memory";
    cl_int code = CL_SUCCESS;
    if (g == NULL)
        goto fail;
    g->base.kind = &kind;
    why = "no libOpenCL, or one that lacks functions";
    if (!find_functions(g)) {
        free(g);
        g = NULL;
        goto fail;
    }
    why = "there is no such OpenCL device here: annulet info lists those there are";
    if (!find_device(g, platform, device))
        goto fail;
    why = "no OpenCL context and queue for it";
    g->context = g->clCreateContext(NULL, 1, &g->device, NULL, NULL, &code);
    if (g->context == NULL)
        goto fail;
    g->queue = g->clCreateCommandQueue(g->context, g->device, 0, &code);
    if (g->queue == NULL)
        goto fail;
    why = "its peak cannot be measured: a kernel of the bench's own failed";
    if (!set_up(g))
        goto fail;
    g->base.cl = (struct gauge_cl){ g->context, g->device, g->queue };
    return &g->base;
fail:
    snprintf(error, error_size, "%s", why);
    if (g != NULL)
        close_cl(&g->base);
    return NULL;
}
