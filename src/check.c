/* src/check.c: checks tensors against what an operation expects of them. */
#include <math.h>
#include <stdio.h>

#include "src/internal.h"

uint64_t anl_row_bytes(anl_dtype dtype, int64_t k)
{
    uint64_t n = (uint64_t)k;
    switch (dtype) {
    case ANL_F32:
        return n * 4;
    case ANL_F16:
    case ANL_BF16:
        return n * 2;
    case ANL_Q8_0:
        return n / 32 * 34;
    case ANL_Q4_1:
        return n / 32 * 20;
    case ANL_Q4_0:
        return n / 32 * 18;
    }
    return 0;
}

int anl_dtype_is_quantised(anl_dtype dtype)
{
    return dtype == ANL_Q8_0 || dtype == ANL_Q4_1 || dtype == ANL_Q4_0;
}

/* Does the view's last element lie inside its buffer? Products are checked: a stride may be huge. */
static int inside(const struct anl_tensor *t)
{
    uint64_t size = t->dtype == ANL_F32 ? 4 : 2, last = 0, reach;

    for (int i = 0; i < t->ndim; i++) {
        if (t->dim[i] == 0)
            return 1;
        if (__builtin_mul_overflow((uint64_t)(t->dim[i] - 1), (uint64_t)t->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return 0;
    }
    if (__builtin_add_overflow(last, 1, &last) || __builtin_mul_overflow(last, size, &last))
        return 0;
    return t->offset <= t->buffer->size && last <= t->buffer->size - t->offset;
}

static anl_status check_one(struct anl_device *device, const char *op, const struct anl_expect *e)
{
    const struct anl_tensor *t = e->tensor;

    if (!t->buffer) {
        if (e->optional)
            return ANL_OK;
        return anl_fail(device, ANL_E_ARGUMENT, "%s: %s has no buffer", op, e->name);
    }
    if (t->buffer->device != device)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: %s lies on another device", op, e->name);
    if ((unsigned)t->dtype > ANL_Q4_0 || !(e->types >> t->dtype & 1))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: %s is of type %s (%d)", op, e->name,
                        anl_dtype_name(t->dtype), (int)t->dtype);
    if (t->ndim != e->ndim)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: %s has %d dimensions, not %d", op, e->name,
                        t->ndim, e->ndim);
    for (int i = 0; i < e->ndim; i++) {
        if (t->dim[i] < 0 || t->dim[i] > INT64_C(1) << 40 ||
            (e->dim[i] >= 0 && t->dim[i] != e->dim[i]))
            return anl_fail(device, ANL_E_ARGUMENT, "%s: %s.dim[%d] is %lld, not %lld", op, e->name,
                            i, (long long)t->dim[i], (long long)e->dim[i]);
        if (t->stride[i] < 0 || (i == e->ndim - 1 && t->stride[i] != 1) ||
            (e->output && t->stride[i] == 0 && t->dim[i] > 1))
            return anl_fail(device, ANL_E_ARGUMENT, "%s: %s.stride[%d] is %lld", op, e->name, i,
                            (long long)t->stride[i]);
    }
    if (t->offset % (t->dtype == ANL_F32 ? 4 : 2))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: %s.offset %llu is not aligned to its type", op,
                        e->name, (unsigned long long)t->offset);
    if (!inside(t))
        return anl_fail(device, ANL_E_ARGUMENT,
                        "%s: %s passes the end of its buffer of %llu bytes", op, e->name,
                        (unsigned long long)t->buffer->size);
    return ANL_OK;
}

anl_status anl_check(struct anl_device *device, const char *op, const struct anl_expect *expect,
                     int n)
{
    for (int i = 0; i < n; i++) {
        anl_status s = check_one(device, op, &expect[i]);
        if (s)
            return s;
    }
    return ANL_OK;
}

anl_status anl_check_norm(struct anl_device *device, const char *op, const struct anl_tensor *norm,
                          float eps, int64_t dm)
{
    const struct anl_expect e = { "norm", norm, 1, { dm }, 1, ANL_T_F32, 0 };
    anl_status s = anl_check(device, op, &e, 1);

    if (s || !norm->buffer)
        return s;
    if (!(eps >= 0x1p-100f) || isinf(eps))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: eps is %g: 2^-100 or more is needed", op,
                        (double)eps);
    if (dm > INT64_C(1) << 24)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: a norm of %lld features: at most 2^24", op,
                        (long long)dm);
    return ANL_OK;
}
