/* cl/program.c: programs and kernels, built on first use, from the cache or from the embedded
 * sources. A device is used by one thread at a time, so one cl_kernel of a name is enough. */
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cl/cl.h"

#define MAX_PARTS 10
#define OPTIONS "-cl-std=CL1.2 "

/* What a unit's program is put together from, in order. */
static const char *const parts[ANL_CL_UNITS][MAX_PARTS] = {
    [ANL_CL_LINEAR_TILE] = { "vec", "num", "elem", "narrow", "tensor", "weights", "epilogue",
                             "linear" },
    [ANL_CL_LINEAR_ROW] = { "vec", "num", "elem", "narrow", "tensor", "weights", "epilogue", "row",
                            "linear_row" },
    [ANL_CL_FFN_ROW] = { "vec", "num", "elem", "narrow", "tensor", "weights", "epilogue", "row",
                         "ffn_row" },
    [ANL_CL_QKV_ROW] = { "vec", "num", "elem", "narrow", "tensor", "weights", "row", "qkv_row" },
    [ANL_CL_LINEAR_CPU] = { "vec", "num", "elem", "narrow", "tensor", "epilogue", "linear_cpu" },
    [ANL_CL_ATTN_TILE] = { "vec", "num", "softmax", "narrow", "tensor", "attn_softmax", "attn_stage",
                           "attn" },
    [ANL_CL_ATTN_FLOW] = { "vec", "num", "softmax", "narrow", "tensor", "attn_softmax",
                           "attn_flow_stage", "attn_flow" },
    [ANL_CL_ATTN_SCAN] = { "vec", "num", "softmax", "narrow", "tensor", "attn_scan" },
    [ANL_CL_ATTN_ROW] = { "vec", "num", "softmax", "narrow", "tensor", "attn_row" },
    [ANL_CL_ATTN_CPU] = { "vec", "num", "softmax", "narrow", "tensor", "attn_cpu" },
    [ANL_CL_ATTN_END] = { "vec", "num", "softmax", "narrow", "tensor", "attn_end" },
    [ANL_CL_NORM] = { "vec", "num", "elem", "narrow", "tensor", "norm" },
    [ANL_CL_ROPE] = { "vec", "num", "narrow", "tensor", "rope" },
    [ANL_CL_EMBED] = { "vec", "num", "narrow", "tensor", "weights", "embed" },
    [ANL_CL_XENT] = { "vec", "num", "elem", "softmax", "narrow", "tensor", "xent" },
    [ANL_CL_PROBE] = { "vec", "num", "probe" },
};

static const struct anl_cl_source *find_source(const char *name)
{
    for (int i = 0; i < anl_cl_n_sources; i++)
        if (!strcmp(anl_cl_sources[i].name, name))
            return &anl_cl_sources[i];
    return NULL;
}

static cl_uint unit_sources(enum anl_cl_unit unit, const char **texts, size_t *sizes)
{
    cl_uint n = 0;

    for (; n < MAX_PARTS && parts[unit][n]; n++) {
        const struct anl_cl_source *s = find_source(parts[unit][n]);
        texts[n] = s ? s->text : "";
        sizes[n] = s ? s->size : 0;
    }
    return n;
}

void anl_cl_programs_init(struct anl_cl_device *d)
{
    for (int u = 0; u < ANL_CL_UNITS; u++) {
        const char *texts[MAX_PARTS];
        size_t sizes[MAX_PARTS];
        cl_uint n = unit_sources((enum anl_cl_unit)u, texts, sizes);
        uint64_t h = XXH3_64bits(OPTIONS, sizeof OPTIONS);
        for (cl_uint i = 0; i < n; i++)
            h = XXH3_64bits_withSeed(texts[i], sizes[i], h);
        d->unit_hash[u] = h;
    }
}

void anl_cl_programs_free(struct anl_cl_device *d)
{
    while (d->programs) {
        struct anl_cl_program *p = d->programs;
        d->programs = p->next;
        while (p->kernels) {
            struct anl_cl_kernel *k = p->kernels;
            p->kernels = k->next;
            d->api.clReleaseKernel(k->handle);
            anl_context_free(d->base.context, k);
        }
        if (p->handle)
            d->api.clReleaseProgram(p->handle);
        anl_context_free(d->base.context, p);
    }
}

static cl_program from_cache(struct anl_cl_device *d, uint64_t key, const char *options)
{
    size_t size;
    const unsigned char *binary = anl_cl_cache_find(d, key, &size);
    cl_int code = CL_INVALID_BINARY, status = CL_INVALID_BINARY;
    cl_program p = NULL;

    if (binary)
        p = d->api.clCreateProgramWithBinary(d->context, 1, &d->id, &size, &binary, &status, &code);
    if (p && (code || status || d->api.clBuildProgram(p, 1, &d->id, options, NULL, NULL))) {
        d->api.clReleaseProgram(p);
        p = NULL;
    }
    return p;
}

/* Tells the caller's log what the driver's compiler said. */
static void log_build(struct anl_cl_device *d, cl_program p)
{
    size_t size = 0;
    char *text;

    if (d->api.clGetProgramBuildInfo(p, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) || !size)
        return;
    text = anl_context_alloc(d->base.context, size + 1, 16);
    if (!text)
        return;
    text[size] = 0;
    if (!d->api.clGetProgramBuildInfo(p, d->id, CL_PROGRAM_BUILD_LOG, size, text, NULL))
        anl_context_log(d->base.context, ANL_LOG_ERROR, "%s", text);
    anl_context_free(d->base.context, text);
}

static anl_status from_source(struct anl_cl_device *d, enum anl_cl_unit unit, const char *options,
                              cl_program *out)
{
    const char *texts[MAX_PARTS];
    size_t sizes[MAX_PARTS];
    cl_uint n = unit_sources(unit, texts, sizes);
    cl_int code;

    *out = d->api.clCreateProgramWithSource(d->context, n, texts, sizes, &code);
    if (!*out)
        return anl_cl_fail(d, "clCreateProgramWithSource", code);
    code = d->api.clBuildProgram(*out, 1, &d->id, options, NULL, NULL);
    if (code) {
        log_build(d, *out);
        d->api.clReleaseProgram(*out);
        *out = NULL;
        return anl_fail(&d->base, ANL_E_DEVICE, "clBuildProgram of %s (%s): %s (%d)",
                        parts[unit][n - 1], options, anl_cl_error_name(code), (int)code);
    }
    return ANL_OK;
}

static anl_status find_program(struct anl_cl_device *d, enum anl_cl_unit unit, const char *options,
                               struct anl_cl_program **out)
{
    uint64_t key = XXH3_64bits_withSeed(options, strlen(options), d->unit_hash[unit]);
    char all[512];
    struct anl_cl_program *p;
    anl_status s = ANL_OK;

    for (p = d->programs; p; p = p->next)
        if (p->key == key) {
            *out = p;
            return ANL_OK;
        }
    p = anl_context_alloc(d->base.context, sizeof *p, 64);
    if (!p)
        return anl_fail(&d->base, ANL_E_MEMORY, "a program's handle: out of memory");
    *p = (struct anl_cl_program){ .next = d->programs, .key = key };
    snprintf(all, sizeof all, "%s%s", OPTIONS, options);
    p->handle = from_cache(d, key, all);
    if (!p->handle)
        s = from_source(d, unit, all, &p->handle);
    if (s) {
        anl_context_free(d->base.context, p);
        return s;
    }
    d->programs = p;
    *out = p;
    return ANL_OK;
}

anl_status anl_cl_kernel(struct anl_cl_device *d, enum anl_cl_unit unit, const char *options,
                         const char *name, struct anl_cl_kernel **out)
{
    struct anl_cl_program *p;
    struct anl_cl_kernel *k;
    anl_status s = find_program(d, unit, options, &p);
    cl_int code;

    if (s)
        return s;
    for (k = p->kernels; k; k = k->next)
        if (!strcmp(k->name, name)) {
            *out = k;
            return ANL_OK;
        }
    k = anl_context_alloc(d->base.context, sizeof *k, 64);
    if (!k)
        return anl_fail(&d->base, ANL_E_MEMORY, "a kernel's handle: out of memory");
    *k = (struct anl_cl_kernel){ .next = p->kernels, .name = name };
    k->handle = d->api.clCreateKernel(p->handle, name, &code);
    if (!k->handle) {
        anl_context_free(d->base.context, k);
        return anl_cl_fail(d, name, code);
    }
    code = d->api.clGetKernelWorkGroupInfo(k->handle, d->id, CL_KERNEL_WORK_GROUP_SIZE,
                                           sizeof k->max_group, &k->max_group, NULL);
    /* Mesa 22.3 answers with the width of a SIMD register and takes more: with less than the least a
     * kernel cannot run at all, and then the launch will say so */
    if (code || k->max_group < ANL_CL_LEAST_GROUP)
        k->max_group = d->max_group;
    p->kernels = k;
    *out = k;
    return ANL_OK;
}

anl_status anl_cl_ready(struct anl_cl_device *d, enum anl_cl_unit unit, const char *options,
                        const char *name)
{
    struct anl_cl_kernel *k;

    return anl_cl_kernel(d, unit, options, name, &k);
}
