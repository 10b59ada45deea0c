/* cpu/k_rows.c: what works on one row at a time: the linear epilogue, norm, rope, scaling, narrowing. */
#include "cpu/vec.h"

void K(epilogue)(anl_act act, const float *v, const float *bias, const float *gate,
                 const float *residual, float *out, int64_t n);
void K(scale_store)(const float *x, float f, float *out, int n);
void K(scale)(const float *x, float f, float *out, int n);
void K(norm)(const float *x, const float *w, float eps, float *out, int64_t n);
void K(rope)(const struct anl_rope_table *table, int64_t position, anl_rope_pairs pairs,
             const float *x, int64_t ldx, float *out, int64_t ldo, int64_t heads, int64_t d);
void K(narrow)(anl_dtype dtype, const float *x, uint16_t *out, int64_t n);

/* The first n <= VL lanes; the others are zero. */
static inline vf load_n(const float *p, int64_t n)
{
    float t[VL] = { 0 };
    if (n >= VL)
        return v_load(p);
    for (int64_t i = 0; i < n; i++)
        t[i] = p[i];
    return v_load(t);
}

static inline void store_n(float *p, vf x, int64_t n)
{
    float t[VL];
    if (n >= VL) {
        v_store(p, x);
        return;
    }
    v_store(t, x);
    for (int64_t i = 0; i < n; i++)
        p[i] = t[i];
}

void K(epilogue)(anl_act act, const float *v, const float *bias, const float *gate,
                 const float *residual, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i += VL) {
        int64_t left = n - i;
        vf x = load_n(v + i, left), r = v_splat(0.0f);

        if (bias)
            x = x + load_n(bias + i, left);
        x = law_activate((int)act, x);
        if (residual)
            r = load_n(residual + i, left);
        if (gate)
            x = v_fma(x, load_n(gate + i, left), r);
        else if (residual)
            x = x + r;
        store_n(out + i, law_canon(x), left);
    }
}

void K(scale_store)(const float *x, float f, float *out, int n)
{
    for (int i = 0; i < n; i += VL)
        store_n(out + i, law_canon(load_n(x + i, n - i) * v_splat(f)), n - i);
}

void K(scale)(const float *x, float f, float *out, int n)
{
    for (int i = 0; i < n; i += VL)
        store_n(out + i, law_rescale(load_n(x + i, n - i), v_splat(f)), n - i);
}

static float sum_of_squares(const float *x, int64_t n)
{
    float total = 0;
    for (int64_t i0 = 0; i0 < n; i0 += LAW_SPAN) {
        int64_t end = n < i0 + LAW_SPAN ? n : i0 + LAW_SPAN;
        vf acc[LAW_LANES / VL];
        float lane[LAW_LANES], s;

        for (int j = 0; j < LAW_LANES / VL; j++)
            acc[j] = v_splat(0.0f);
        for (int64_t i = i0; i < end; i += LAW_LANES)
            for (int j = 0; j < LAW_LANES / VL; j++)
                if (i + j * VL < end) {
                    vf v = load_n(x + i + j * VL, end - i - j * VL);
                    acc[j] = v_fma(v, v, acc[j]);
                }
        for (int j = 0; j < LAW_LANES / VL; j++)
            v_store(lane + j * VL, acc[j]);
        s = law_lane_tree(lane);
        total = i0 ? total + s : s;
    }
    return total;
}

void K(norm)(const float *x, const float *w, float eps, float *out, int64_t n)
{
    vf ss = v_splat(sum_of_squares(x, n));
    vf r = law_rsqrt(v_fma(ss, law_recip(v_splat((float)n)), v_splat(eps)));

    for (int64_t i = 0; i < n; i += VL)
        store_n(out + i, law_canon((load_n(x + i, n - i) * r) * load_n(w + i, n - i)), n - i);
}

/* NaN and zero made canonical, one float. */
static inline float canon(float x)
{
    float t[VL];
    v_store(t, law_canon(v_splat(x)));
    return t[0];
}

void K(rope)(const struct anl_rope_table *table, int64_t position, anl_rope_pairs pairs,
             const float *x, int64_t ldx, float *out, int64_t ldo, int64_t heads, int64_t d)
{
    int half = table->dims / 2;
    const float *a = (const float *)table->coarse->host + position / LAW_SPAN * half * 2;
    const float *b = (const float *)table->fine->host + position % LAW_SPAN * half * 2;
    int step = pairs == ANL_ROPE_HALF ? 1 : 2, gap = pairs == ANL_ROPE_HALF ? half : 1;
    float c[512], s[512];

    for (int i = 0; i < half; i++) {
        c[i] = law_fmaf(a[2 * i], b[2 * i], -(a[2 * i + 1] * b[2 * i + 1]));
        s[i] = law_fmaf(a[2 * i + 1], b[2 * i], a[2 * i] * b[2 * i + 1]);
    }
    for (int64_t h = 0; h < heads; h++) {
        const float *in = x + h * ldx;
        float *to = out + h * ldo;
        for (int i = 0; i < half; i++) {
            float x1 = in[i * step], x2 = in[i * step + gap];
            to[i * step] = canon(law_fmaf(x1, c[i], -(x2 * s[i])));
            to[i * step + gap] = canon(law_fmaf(x2, c[i], x1 * s[i]));
        }
        for (int64_t i = 2 * half; i < d; i++)
            to[i] = canon(in[i]);
    }
}

void K(narrow)(anl_dtype dtype, const float *x, uint16_t *out, int64_t n)
{
    for (int64_t i = 0; i < n; i += VL) {
        vf v = load_n(x + i, n - i);
        vu h = dtype == ANL_F16 ? law_f32_to_f16(v) : law_f32_to_bf16(v);
        uint32_t t[VL];
        memcpy(t, &h, sizeof t);
        for (int64_t j = 0; j < VL && j < n - i; j++)
            out[i + j] = (uint16_t)t[j];
    }
}
