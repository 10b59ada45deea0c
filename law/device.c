/* law/device.c: the law backend's table, device and weights. */
#include "law/law.h"

#include "law/dequant.h"

static void device_destroy(struct anl_device *device)
{
    anl_context_free(device->context, device);
}

static anl_status device_finish(struct anl_device *device)
{
    (void)device;
    return ANL_OK;
}

__attribute__((noinline)) static void expand(const struct anl_weights_params *p, float *value)
{
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t k = 0; k < p->k; k++)
            value[n * p->k + k] =
                law_weight(p->dtype, (const char *)p->data + (uint64_t)n * p->row_bytes, k);
}

static anl_status weights_create(struct anl_device *device, const struct anl_weights_params *params,
                                 struct anl_weights **out)
{
    uint64_t bytes = (uint64_t)params->n * (uint64_t)params->k * sizeof(float);
    struct law_weights *w = anl_context_alloc(device->context, sizeof *w, 64);
    struct law_fpenv env;

    if (!w)
        goto fail;
    w->base = (struct anl_weights){ device, params->dtype, params->n, params->k, bytes };
    w->value = bytes > SIZE_MAX / 2 ? NULL : anl_context_alloc(device->context, (size_t)bytes, 64);
    if (!w->value)
        goto fail;
    anl_account(device, ANL_FOR_WEIGHTS, (int64_t)bytes);
    env = law_fpenv_enter();
    expand(params, w->value);
    law_fpenv_leave(env);
    *out = &w->base;
    return ANL_OK;
fail:
    anl_context_free(device->context, w);
    return anl_fail(device, ANL_E_MEMORY, "weights of %llu bytes: out of memory",
                    (unsigned long long)bytes);
}

static void weights_destroy(struct anl_weights *weights)
{
    struct law_weights *w = (struct law_weights *)weights;
    anl_account(weights->device, ANL_FOR_WEIGHTS, -(int64_t)weights->bytes);
    anl_context_free(weights->device->context, w->value);
    anl_context_free(weights->device->context, w);
}

#define LAW_FIELD(op) .op = LAW(op),
const struct anl_backend LAW(backend) = {
    .kind = ANL_LAW,
    .device_destroy = device_destroy,
    .device_finish = device_finish,
    .buffer_create = anl_host_buffer_create,
    .buffer_destroy = anl_host_buffer_destroy,
    .buffer_write = anl_host_buffer_write,
    .buffer_read = anl_host_buffer_read,
    .weights_create = weights_create,
    .weights_destroy = weights_destroy,
    ANL_OPS(LAW_FIELD)
};
