/* cl/epilogue.cl: what a linear layer does to a total before it is stored. act: an anl_act; flags: 1
 * bias, 2 gate, 4 residual. */

static inline vf epilogue(vf v, vf bias, vf gate, vf residual, int act, int flags)
{
    if (flags & 1)
        v = v + bias;
    v = law_activate(act, v);
    if (flags & 2)
        return fma(v, gate, (flags & 4) ? residual : v_splat(0.0f));
    return (flags & 4) ? v + residual : v;
}
