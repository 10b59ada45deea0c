/* cl/xent.c: cross-entropy. */
#include "cl/cl.h"

static anl_status spans_of(struct anl_cl_device *d, const struct anl_xent_params *p, int64_t spans,
                           const char *options, cl_mem state)
{
    size_t groups[2] = { (size_t)spans, (size_t)p->logits.dim[0] };
    size_t group[2] = { d->cpu_shaped ? 1 : 64, 1 };
    struct anl_cl_call c;

    anl_cl_begin(&c, d, ANL_CL_XENT, options, "xent_span");
    anl_cl_arg_tensor(&c, &p->logits, &p->logits);
    anl_cl_arg_mem(&c, state);
    anl_cl_arg_long(&c, p->logits.dim[1]);
    anl_cl_arg_int(&c, (int32_t)spans);
    return anl_cl_launch(&c, 2, groups, group);
}

anl_status anl_cl_xent(struct anl_device *device, const struct anl_xent_params *p)
{
    struct anl_cl_device *d = anl_cl(device);
    const char *options = d->cpu_shaped ? "-DVW=16" : "";
    int64_t t = p->logits.dim[0], spans = anl_cl_ceil_div(p->logits.dim[1], 512);
    uint64_t size = (uint64_t)t * sizeof *p->targets;
    size_t group[1] = { 1 }, groups[1] = { (size_t)t };
    struct anl_cl_call c;
    cl_mem targets = NULL, state;
    anl_status s = anl_cl_scratch(d, 0, (uint64_t)(t * spans) * 8, &state);

    if (!s)
        s = anl_cl_upload(d, p->targets, size, &targets);
    if (!s)
        s = anl_cl_ready(d, ANL_CL_XENT, options, "xent_end");
    if (!s)
        s = spans_of(d, p, spans, options, state);
    if (!s) {
        anl_cl_begin(&c, d, ANL_CL_XENT, options, "xent_end");
        anl_cl_arg_mem(&c, state);
        anl_cl_arg_tensor(&c, &p->logits, &p->logits);
        anl_cl_arg_mem(&c, targets);
        anl_cl_arg_tensor(&c, &p->out, &p->out);
        anl_cl_arg_int(&c, (int32_t)spans);
        anl_cl_arg_long(&c, t);
        s = anl_cl_launch(&c, 1, groups, group);
    }
    anl_cl_free(d, targets, size, ANL_FOR_SCRATCH);
    return s;
}
