/* cpu/device.c: the CPU backend's table and its device: which instruction set, how many threads. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpu.h"

static void device_destroy(struct anl_device *device)
{
    struct cpu_device *d = (struct cpu_device *)device;
    anl_context_free(device->context, d->work);
    anl_context_free(device->context, d);
}

static anl_status device_finish(struct anl_device *device)
{
    (void)device;
    return ANL_OK;
}

#define CPU_FIELD(op) .op = anl_cpu_##op,
const struct anl_backend anl_cpu_backend = {
    .kind = ANL_CPU,
    .device_destroy = device_destroy,
    .device_finish = device_finish,
    .buffer_create = anl_host_buffer_create,
    .buffer_destroy = anl_host_buffer_destroy,
    .buffer_write = anl_host_buffer_write,
    .buffer_read = anl_host_buffer_read,
    .weights_create = anl_cpu_weights_create,
    .weights_destroy = anl_cpu_weights_destroy,
    .linears = anl_cpu_linears,
    .linear = anl_cpu_linear,
    .attn = anl_cpu_attn,
    .attn_states = anl_cpu_attn_states,
    .attn_merge = anl_cpu_attn_merge,
    .norm = anl_cpu_norm,
    .rope = anl_cpu_rope,
    .embed = anl_cpu_embed,
    .xent = anl_cpu_xent, /* no ffn and qkv of its own: src composes them */
};

/* The kernels for an instruction set, or NULL where this machine or build lacks it. */
static const struct cpu_kernels *kernels_for(anl_isa isa)
{
    switch (isa) {
    case ANL_ISA_AUTO:
    case ANL_ISA_GENERIC:
        return &anl_k_generic_table;
    case ANL_ISA_AVX2:
#ifdef ANL_CPU_HAS_AVX2
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return &anl_k_avx2_table;
#endif
        return NULL;
    case ANL_ISA_AVX512:
#ifdef ANL_CPU_HAS_AVX2
        if (__builtin_cpu_supports("avx512f"))
            return &anl_k_avx512_table;
#endif
        return NULL;
    case ANL_ISA_NEON:
#ifdef ANL_CPU_HAS_NEON
        return &anl_k_neon_table;
#else
        return NULL;
#endif
    }
    return NULL;
}

static const struct cpu_kernels *best_kernels(void)
{
    static const anl_isa order[] = { ANL_ISA_AVX512, ANL_ISA_AVX2, ANL_ISA_NEON };

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const struct cpu_kernels *k = kernels_for(order[i]);
        if (k)
            return k;
    }
    return kernels_for(ANL_ISA_GENERIC);
}

static int cores(void)
{
    cpu_set_t set;
    int n = 0;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    if (n < 1)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > CPU_MAX_THREADS ? CPU_MAX_THREADS : n;
}

/* "model name" of /proc/cpuinfo, where there is one. */
static void cpu_name(char *out, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(out, size, "CPU");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%s", colon + 1 + (colon[1] == ' '));
        break;
    }
    if (f)
        fclose(f);
}

static void fill_info(struct cpu_device *d)
{
    struct anl_device_info *info = &d->base.info;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    cpu_name(info->name, sizeof info->name);
    snprintf(info->detail, sizeof info->detail, "%s", d->k->name);
    info->threads = d->threads;
    info->unified = 1;
    info->memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    info->max_alloc = info->memory;
}

anl_status anl_device_create_cpu(struct anl_context *context, const struct anl_cpu_params *params,
                                 struct anl_device **out)
{
    struct anl_cpu_params p = { .size = sizeof p };
    const struct cpu_kernels *k;
    struct cpu_device *d;

    if (!out)
        return ANL_E_ARGUMENT;
    *out = NULL;
    if (!context || (params && params->size < sizeof *params))
        return ANL_E_ARGUMENT;
    if (params)
        p = *params;
    if (p.threads < 0 || p.threads > CPU_MAX_THREADS || (unsigned)p.isa > ANL_ISA_NEON) {
        anl_constructor_error(context, p.error, p.error_size,
                              "anl_device_create_cpu: threads is %d (0 to %d), isa is %d",
                              p.threads, CPU_MAX_THREADS, (int)p.isa);
        return ANL_E_ARGUMENT;
    }
    k = p.isa == ANL_ISA_AUTO ? best_kernels() : kernels_for(p.isa);
    if (!k) {
        static const char *const names[] = { "auto", "generic", "avx2", "avx512", "neon" };
        anl_constructor_error(context, p.error, p.error_size,
                              "anl_device_create_cpu: this machine or build lacks %s",
                              names[p.isa]);
        return ANL_E_UNSUPPORTED;
    }
    d = anl_device_alloc(context, sizeof *d, &anl_cpu_backend);
    if (!d) {
        anl_constructor_error(context, p.error, p.error_size,
                              "anl_device_create_cpu: out of memory");
        return ANL_E_MEMORY;
    }
    p.error = NULL;
    d->k = k;
    d->params = p;
    d->threads = p.threads ? p.threads : cores();
#ifndef _OPENMP
    if (!p.parallel)
        d->threads = 1;
#endif
    fill_info(d);
    *out = &d->base;
    return ANL_OK;
}
