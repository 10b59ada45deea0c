/* tests/ring_fault.c: see ring_fault.h. */
#include "tests/ring_fault.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/backend.h"

struct ring_fault {
    struct anl_backend table; /* first: the device's backend is this one */
    const struct anl_backend *real;
    struct anl_device *device;
    long calls, fail_at;
    int lost;
    unsigned delay_us;
    struct gen gen;
};

static struct ring_fault *of(const struct anl_device *device)
{
    return (struct ring_fault *)(uintptr_t)device->backend;
}

/* Counts a call; whether it is to fail. */
static int fails(struct ring_fault *f)
{
    f->calls++;
    if (f->delay_us) {
        uint32_t us = gen_below(&f->gen, f->delay_us);
        if (us & 1)
            sched_yield();
        else
            usleep(us);
    }
    return f->fail_at && (f->lost ? f->calls >= f->fail_at : f->calls == f->fail_at);
}

static anl_status refuse(struct anl_device *device)
{
    static const char why[] = "a fault of the test's";
    for (size_t i = 0; i < sizeof why; i++)
        device->message[i] = why[i];
    return ANL_E_DEVICE;
}

static anl_status fault_finish(struct anl_device *device)
{
    struct ring_fault *f = of(device);
    return fails(f) ? refuse(device) : f->real->device_finish(device);
}

static anl_status fault_write(struct anl_buffer *buffer, uint64_t offset, const void *data, uint64_t size)
{
    struct ring_fault *f = of(buffer->device);
    return fails(f) ? refuse(buffer->device) : f->real->buffer_write(buffer, offset, data, size);
}

static anl_status fault_read(struct anl_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    struct ring_fault *f = of(buffer->device);
    return fails(f) ? refuse(buffer->device) : f->real->buffer_read(buffer, offset, data, size);
}

static anl_status fault_fetch(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch, uint64_t width,
                              uint64_t rows, void *to)
{
    struct ring_fault *f = of(buffer->device);
    return fails(f) ? refuse(buffer->device) : f->real->fetch(buffer, offset, pitch, width, rows, to);
}

static anl_status fault_copy(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch,
                             uint64_t width, uint64_t rows, struct anl_buffer *to, uint64_t at)
{
    struct ring_fault *f = of(buffer->device);
    return fails(f) ? refuse(buffer->device) : f->real->copy(buffer, offset, pitch, width, rows, to, at);
}

static anl_status fault_put(struct anl_device *device, struct anl_buffer *buffer, const void *data,
                            uint64_t size)
{
    struct ring_fault *f = of(device);
    return fails(f) ? refuse(device) : f->real->put(device, buffer, data, size);
}

static anl_status fault_settle(struct anl_device *device)
{
    struct ring_fault *f = of(device);
    return fails(f) ? refuse(device) : f->real->settle(device);
}

static anl_status fault_mark(struct anl_device *device, struct anl_mark *mark)
{
    struct ring_fault *f = of(device);
    return fails(f) ? refuse(device) : f->real->mark(device, mark);
}

static anl_status fault_attn(struct anl_device *device, const struct anl_attn_params *params)
{
    struct ring_fault *f = of(device);
    return fails(f) ? refuse(device) : f->real->attn(device, params);
}

struct ring_fault *ring_fault_begin(struct anl_device *device, long fail_at, int lost, unsigned delay_us,
                                    uint64_t seed)
{
    struct ring_fault *f = gen_alloc(1, sizeof *f);
    f->table = *device->backend;
    f->real = device->backend;
    f->device = device;
    f->fail_at = fail_at;
    f->lost = lost;
    f->delay_us = delay_us;
    f->gen = gen_seed(seed, 902);
    f->table.device_finish = fault_finish;
    f->table.buffer_write = fault_write;
    f->table.buffer_read = fault_read;
    f->table.attn = fault_attn;
    if (f->real->mark) {
        f->table.fetch = fault_fetch;
        f->table.copy = fault_copy;
        f->table.put = fault_put;
        f->table.settle = fault_settle;
        f->table.mark = fault_mark;
    }
    device->backend = &f->table;
    return f;
}

long ring_fault_end(struct ring_fault *f)
{
    long calls = f->calls;
    f->device->backend = f->real;
    free(f);
    return calls;
}
