/* cl/attn_softmax.cl: what attn_tile and attn_flow share: what a score weighs, and how the state of a span
 * joins the running one. BQ: queries of a work-group. */

/* law_p2 of a score at most m, |m| < 2^21, by additions where rint and conversions would be slow: with
 * 1.5 * 2^23 added a float's last bits are the nearest integer. low = m - 62; power = the bits of
 * 2^-(m + 1.5 * 2^23) as far as they matter. NaN stays NaN, -inf gives 0. */
static inline float weight(float s, float low, uint power)
{
    const float t = s + 0x1.8p23f, n = t - 0x1.8p23f;
    const float p = law_exp2_poly(s - n) * as_float((as_uint(t) << 23) + power);
    return n < low ? 0.0f : p;
}

/* The same for any m, and for blocks in which hidden keys have to be told: they weigh -0. */
static inline float weight_marked(float s, float m)
{
    return s == -INFINITY ? -0.0f : law_p2(s, m);
}

/* A row's sixteen lanes, one sum. */
static inline float lane_sum(__local const float *lanes)
{
    float t[16];
#pragma unroll
    for (int j = 0; j < 16; j++)
        t[j] = lanes[j * BQ];
#pragma unroll
    for (int w = 8; w > 0; w /= 2)
#pragma unroll
        for (int j = 0; j < w; j++)
            t[j] = t[j] + t[j + w];
    return t[0];
}

/* (m, sum) of a span joins a query's running (m, l); how its o has to be joined afterwards, by f: 0 not at
 * all, 1 it replaces O, 2 fma(O, f, o), 3 fma(o, f, O). */
static inline float join_ml(__global float2 *state, float m, float sum, float *f)
{
    float2 run = *state;
    float how = 3.0f;

    *f = 0.0f;
    if (sum == 0.0f)
        return 0.0f;
    if (run.y == 0.0f) {
        how = 1.0f;
        run = (float2)(m, sum);
    } else if (m > run.x) {
        how = 2.0f;
        *f = law_pow2(run.x - m);
        run = (float2)(m, law_join(run.y, *f, sum));
    } else {
        *f = law_pow2(m - run.x);
        run.y = law_join(sum, *f, run.y);
    }
    *state = run;
    return how;
}

/* A span's o joins the running one, as join_ml has said. */
static inline void join_o(__global float4 *p, float4 o, float how, float f)
{
    if (how == 1.0f)
        *p = o;
    else if (how == 2.0f)
        *p = fma(*p, (float4)(f), o);
    else if (how == 3.0f)
        *p = fma(o, (float4)(f), *p);
}
