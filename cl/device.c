/* cl/device.c: the OpenCL device: made, waited for, destroyed; and the backend's table. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cl/list.h"

/* The least work of one launch, and that of a CPU: a fraction of a second on a slow one. */
#define LAUNCH_FMA 1e10

static void device_destroy(struct anl_device *device);

static anl_status device_finish(struct anl_device *device)
{
    struct anl_cl_device *d = anl_cl(device);

    anl_cl_waited(d, "clFinish", d->api.clFinish(d->queue));
    return anl_cl_tell_late(d);
}

static uint64_t get_number(struct anl_cl_device *d, cl_device_info what, size_t size)
{
    cl_ulong wide = 0;
    cl_uint narrow = 0;

    if (size == sizeof narrow)
        return d->api.clGetDeviceInfo(d->id, what, sizeof narrow, &narrow, NULL) ? 0 : narrow;
    return d->api.clGetDeviceInfo(d->id, what, sizeof wide, &wide, NULL) ? 0 : wide;
}

static void read_properties(struct anl_cl_device *d, anl_cl_shape shape)
{
    struct anl_device_info *info = &d->base.info;
    int is_cpu = (get_number(d, CL_DEVICE_TYPE, 8) & CL_DEVICE_TYPE_CPU) != 0;
    uint64_t lanes;

    anl_cl_device_text(&d->api, d->id, CL_DEVICE_NAME, info->name, sizeof info->name);
    anl_cl_device_text(&d->api, d->id, CL_DEVICE_VERSION, info->detail, sizeof info->detail);
    info->threads = (int)get_number(d, CL_DEVICE_MAX_COMPUTE_UNITS, 4);
    info->memory = get_number(d, CL_DEVICE_GLOBAL_MEM_SIZE, 8);
    info->max_alloc = get_number(d, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 8);
    d->local_bytes = get_number(d, CL_DEVICE_LOCAL_MEM_SIZE, 8);
    d->max_group = (size_t)get_number(d, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    lanes = get_number(d, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 4);
    d->wide = lanes >= 16;
    /* llvmpipe is a CPU, but tells of no vectors: its compiler wants one lane per work-item */
    d->cpu_shaped = shape == ANL_CL_SHAPE_CPU || (shape == ANL_CL_SHAPE_AUTO && is_cpu && lanes >= 4);
    d->base.fused_tokens = d->cpu_shaped ? 0 : ANL_CL_ROW_TOKENS;
}

/* NVIDIA's own driver reports a failed kernel from clFinish and from reads, and takes its time over an
 * event: a few are enough there to bound the queue. Others may tell in a kernel's event alone. */
static void bound_queue(struct anl_cl_device *d)
{
    cl_platform_id platform = NULL;
    char name[64] = "";

    d->api.clGetDeviceInfo(d->id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL);
    anl_cl_platform_name(&d->api, platform, name, sizeof name);
    d->launches_per_event = strcmp(name, "NVIDIA CUDA") ? 1 : ANL_CL_EVENTS / 8;
}

/* How much a launch may do: by the compute units' lanes and clock, unless it is a CPU. */
static void bound_launches(struct anl_cl_device *d)
{
    double fma = d->tiles.launch_fma * d->base.info.threads *
                 (double)get_number(d, CL_DEVICE_MAX_CLOCK_FREQUENCY, 4);

    if (get_number(d, CL_DEVICE_TYPE, 8) & CL_DEVICE_TYPE_CPU)
        fma = 0;
    d->launch_fma = fma > LAUNCH_FMA ? fma : LAUNCH_FMA;
}

static void make_identity(struct anl_cl_device *d)
{
    static const cl_device_info what[] = { CL_DEVICE_VENDOR, CL_DEVICE_NAME, CL_DEVICE_VERSION,
                                           CL_DRIVER_VERSION };
    uint64_t h = XXH3_64bits_withSeed(d->unit_hash, sizeof d->unit_hash, (uint64_t)d->cpu_shaped);

    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        char text[512];
        anl_cl_device_text(&d->api, d->id, what[i], text, sizeof text);
        h = XXH3_64bits_withSeed(text, strlen(text), h);
    }
    d->identity = h;
}

/* What a device must have for any of the kernels to run. */
static const char *too_small(const struct anl_cl_device *d)
{
    if (d->cpu_shaped)
        return NULL;
    if (d->local_bytes < 32768)
        return "it has less than 32 KiB of local memory";
    if (d->max_group < ANL_CL_LEAST_GROUP)
        return "its work-groups hold less than 64 work-items";
    return NULL;
}

static anl_status check_params(struct anl_context *context, const struct anl_cl_params *p)
{
    int given = !!p->cl_context + !!p->cl_device + !!p->cl_queue, beside = p->n_beside != 0;

    if ((given != 0 && given != 3) || (unsigned)p->shape > ANL_CL_SHAPE_CPU ||
        (unsigned)p->worst_grade > ANL_FAST) {
        anl_constructor_error(context, p->error, p->error_size,
                              "anl_device_create_cl: %d of cl_context, cl_device and cl_queue given, "
                              "shape %d, worst_grade %d",
                              given, (int)p->shape, (int)p->worst_grade);
        return ANL_E_ARGUMENT;
    }
    if (p->n_beside < 0 || p->n_beside > ANL_CL_MAX_LIST || (beside && !p->beside) ||
        (given != 0) + beside + (p->share != NULL) > 1 ||
        (p->share && p->share->backend != &anl_cl_backend)) {
        anl_constructor_error(context, p->error, p->error_size,
                              "anl_device_create_cl: n_beside is %d with beside %p; share, an OpenCL device "
                              "or NULL, is %p; and of these two and cl_context one is allowed",
                              p->n_beside, (const void *)p->beside, (void *)p->share);
        return ANL_E_ARGUMENT;
    }
    return ANL_OK;
}

/* Everything but the probes. */
static anl_status set_up(struct anl_cl_device *d, const struct anl_cl_params *p)
{
    struct anl_context *context = d->base.context;
    anl_status s = ANL_E_DEVICE;
    cl_int code = 0;
    char text[160];
    const char *why;

    if (!anl_cl_api_open(&d->api, p->get_symbol, p->get_symbol_user, text, sizeof text)) {
        anl_constructor_error(context, p->error, p->error_size, "%s", text);
        return ANL_E_NO_DEVICE;
    }
    why = anl_cl_open_handles(d, p, &s, &code);
    if (why) {
        anl_constructor_error(context, p->error, p->error_size, "%s: %s (%d)", why,
                              code ? anl_cl_error_name(code) : "not in the list", (int)code);
        return s;
    }
    read_properties(d, p->shape);
    why = too_small(d);
    if (why) {
        anl_constructor_error(context, p->error, p->error_size, "%s: %s", d->base.info.name, why);
        return ANL_E_UNSUPPORTED;
    }
    why = anl_cl_tiles_set(d, get_number(d, CL_DEVICE_VENDOR_ID, 4), p->tiles);
    if (why) {
        anl_constructor_error(context, p->error, p->error_size, "tiles: %s", why);
        return ANL_E_ARGUMENT;
    }
    bound_launches(d);
    bound_queue(d);
    anl_cl_programs_init(d);
    make_identity(d);
    anl_cl_cache_load(d, p->cache, p->cache_size);
    return ANL_OK;
}

static void free_scratch(struct anl_cl_device *d)
{
    for (int i = 0; i < ANL_CL_SCRATCH; i++) {
        anl_cl_free(d, d->scratch[i].mem, d->scratch[i].size, ANL_FOR_SCRATCH);
        d->scratch[i].mem = NULL;
        d->scratch[i].size = 0;
    }
}

anl_status anl_device_create_cl(struct anl_context *context, const struct anl_cl_params *given,
                                struct anl_device **out)
{
    /* the struct has grown: callers of the first one have no beside and share */
    const size_t first = offsetof(struct anl_cl_params, beside);
    struct anl_cl_params copy = { 0 };
    const struct anl_cl_params *params = &copy;
    struct anl_cl_device *d;
    anl_status s;

    if (!out)
        return ANL_E_ARGUMENT;
    *out = NULL;
    if (!context || !given || given->size < first)
        return ANL_E_ARGUMENT;
    memcpy(&copy, given, given->size < sizeof copy ? given->size : sizeof copy);
    s = check_params(context, params);
    if (s)
        return s;
    d = anl_device_alloc(context, sizeof *d, &anl_cl_backend);
    if (!d) {
        anl_constructor_error(context, params->error, params->error_size, "out of memory");
        return ANL_E_MEMORY;
    }
    s = set_up(d, params);
    if (s)
        goto fail;
    if (!anl_cl_cache_verdict(d)) {
        s = anl_cl_probe(d);
        free_scratch(d);
        anl_device_memory_reset_peak(&d->base);
        if (s) {
            anl_constructor_error(context, params->error, params->error_size, "%s: %s",
                                  d->base.info.name, d->base.message);
            goto fail;
        }
    }
    if (d->base.info.grade > params->worst_grade) {
        anl_constructor_error(context, params->error, params->error_size,
                              "%s: the probe '%s' failed, and worst_grade does not allow that",
                              d->base.info.name, d->base.info.failed_probe);
        s = ANL_E_UNSUPPORTED;
        goto fail;
    }
    *out = &d->base;
    return ANL_OK;
fail:
    device_destroy(&d->base);
    return s;
}

static void device_destroy(struct anl_device *device)
{
    struct anl_cl_device *d = anl_cl(device);

    if (d->queue)
        anl_cl_waited(d, "clFinish", d->api.clFinish(d->queue));
    anl_cl_programs_free(d);
    free_scratch(d);
    if (d->beside)
        d->api.clReleaseCommandQueue(d->beside);
    if (d->queue)
        d->api.clReleaseCommandQueue(d->queue);
    if (d->context)
        d->api.clReleaseContext(d->context);
    anl_context_free(device->context, d->cache);
    anl_context_free(device->context, d);
}

const struct anl_backend anl_cl_backend = {
    .kind = ANL_CL,
    .device_destroy = device_destroy,
    .device_finish = device_finish,
    .buffer_create = anl_cl_buffer_create,
    .buffer_destroy = anl_cl_buffer_destroy,
    .buffer_write = anl_cl_buffer_write,
    .buffer_read = anl_cl_buffer_read,
    .fetch = anl_cl_fetch,
    .copy = anl_cl_copy,
    .put = anl_cl_put,
    .reaches = anl_cl_reaches,
    .settle = anl_cl_settle,
    .mark = anl_cl_mark,
    .reached = anl_cl_reached,
    .forget = anl_cl_forget,
    .pin = anl_cl_pin,
    .unpin = anl_cl_unpin,
    .weights_create = anl_cl_weights_create,
    .weights_destroy = anl_cl_weights_destroy,
    .cache_get = anl_cl_cache_get,
    .tiles_get = anl_cl_tiles_get,
    .ffn_hidden = anl_cl_ffn_hidden,
    .linear = anl_cl_linear,
    .attn = anl_cl_attn,
    .attn_states = anl_cl_attn_states,
    .attn_merge = anl_cl_attn_merge,
    .norm = anl_cl_norm,
    .rope = anl_cl_rope,
    .qkv = anl_cl_qkv,
    .embed = anl_cl_embed,
    .xent = anl_cl_xent,
};
