/* tests/runner.c: see runner.h. */
#include "tests/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const struct case_op *const ops[] = { &linear_cases, &attn_cases,  &norm_cases, &rope_cases,
                                             &ffn_cases,    &qkv_cases,   &embed_cases, &xent_cases };

const struct case_op *const *case_ops(int *count)
{
    *count = (int)(sizeof ops / sizeof *ops);
    return ops;
}

void case_run(const struct case_op *op, struct anl_device *device, int index,
              const struct place_options *options, struct run_result *result)
{
    void *data = op->make(index);
    op->run(device, index, data, options, result);
    op->drop(data);
}

void *case_from_shape(const struct case_form *form, const char *shape, char *error,
                      size_t error_size)
{
    void *c = gen_alloc(1, form->size);
    if (shape_parse(shape, form->fields, form->n_fields, c, error, error_size) == 0 &&
        form->settle(c, error, error_size) == 0)
        return c;
    free(c);
    return NULL;
}

int case_missing(const char *name, int64_t value, char *error, size_t error_size)
{
    if (value > 0)
        return 0;
    snprintf(error, error_size, "%s is missing: add one, such as %s64", name, name);
    return -1;
}

int case_blocks(anl_dtype dtype, const char *name, int64_t value, char *error, size_t error_size)
{
    if (dtype < ANL_Q8_0 || value % 32 == 0)
        return 0;
    snprintf(error, error_size, "%s%lld: %s weights need a multiple of 32", name, (long long)value,
             anl_dtype_name(dtype));
    return -1;
}

struct run_array *run_add(struct run_result *result, const char *name, anl_dtype dtype,
                          size_t count)
{
    struct run_array *a = &result->array[result->arrays++];
    a->name = name;
    a->dtype = dtype;
    a->count = count;
    a->data = gen_alloc(count, gen_dtype_size(dtype));
    return a;
}

static int host_is_big_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

/* The array's bytes, the low one of each element first. */
static void hash_array(XXH3_state_t *state, const struct run_array *a)
{
    size_t size = gen_dtype_size(a->dtype), bytes = a->count * size;
    uint8_t *swapped;
    if (!host_is_big_endian()) {
        XXH3_64bits_update(state, a->data, bytes);
        return;
    }
    swapped = gen_alloc(1, bytes);
    for (size_t i = 0; i < bytes; i++)
        swapped[i] = ((const uint8_t *)a->data)[i - i % size + size - 1 - i % size];
    XXH3_64bits_update(state, swapped, bytes);
    free(swapped);
}

static uint64_t hash_arrays(const struct run_array *array, int count)
{
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL)
        abort();
    XXH3_64bits_reset(state);
    for (int i = 0; i < count; i++)
        hash_array(state, &array[i]);
    uint64_t hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return hash;
}

uint64_t run_hash(anl_dtype dtype, size_t count, const void *data)
{
    const struct run_array array = { .dtype = dtype, .count = count, .data = (void *)data };
    return hash_arrays(&array, 1);
}

void run_finish(struct run_result *result, struct place *p)
{
    memcpy(result->message, p->message, sizeof result->message);
    result->damaged = p->damaged;
    result->status = place_end(p);
    result->hash = hash_arrays(result->array, result->arrays);
}

void run_call_begin(const struct place_call *call, struct run_result *result)
{
    for (int i = 0; i < call->outs; i++) {
        size_t count = 1;
        for (int k = 0; k < call->out[i]->ndim; k++)
            count *= (size_t)call->out[i]->dim[k];
        run_add(result, "out", call->out[i]->dtype, count);
    }
}

static size_t array_bytes(const struct run_array *a)
{
    return a->count * gen_dtype_size(a->dtype);
}

anl_status run_call_cover(const struct place_call *call, struct run_result *result)
{
    anl_status status = ANL_OK;
    for (int i = 0; i < call->outs && status == ANL_OK; i++) {
        struct run_array *a = &result->array[i];
        memset(a->data, 0xff, array_bytes(a));
        status = anl_buffer_write(call->out[i]->buffer, 0, a->data, array_bytes(a));
    }
    return status;
}

anl_status run_call_fetch(const struct place_call *call, struct run_result *result)
{
    anl_status status = ANL_OK;
    for (int i = 0; i < call->outs && status == ANL_OK; i++) {
        struct run_array *a = &result->array[i];
        status = anl_buffer_read(call->out[i]->buffer, 0, a->data, array_bytes(a));
    }
    result->hash = hash_arrays(result->array, result->arrays);
    return status;
}

void run_free(struct run_result *result)
{
    for (int i = 0; i < result->arrays; i++)
        free(result->array[i].data);
    memset(result, 0, sizeof *result);
}

int run_equal(const struct run_result *a, const struct run_result *b)
{
    if (a->status != b->status || a->arrays != b->arrays)
        return 0;
    for (int i = 0; i < a->arrays; i++) {
        const struct run_array *x = &a->array[i], *y = &b->array[i];
        if (x->count != y->count || x->dtype != y->dtype ||
            memcmp(x->data, y->data, x->count * gen_dtype_size(x->dtype)) != 0)
            return 0;
    }
    return 1;
}

float run_value(const struct run_array *array, size_t i)
{
    if (array->dtype == ANL_F16)
        return gen_from_f16(((const uint16_t *)array->data)[i]);
    if (array->dtype == ANL_BF16)
        return gen_from_bf16(((const uint16_t *)array->data)[i]);
    return ((const float *)array->data)[i];
}
