/* cl/attn_cpu.cl: attention, CPU-shaped: a work-item carries BQ queries of one head through spans of
 * keys, 64 at a time, with arrays of its own: K transposed, V widened, the queries, o. Vectors of 16
 * lie along the keys for scores and weights, so that a vector of lane sums is the law's 16 lanes,
 * and along the columns of o for the rest.
 *
 *   -DDP -DDVP  head dimensions rounded up to 16   -DKVT  anl_dtype of keys and values
 *   -DBQ        queries of a work-item, a power of two up to 512
 *   -DRS        queries whose scores are computed together, and -DKV4 vectors of keys of each
 *
 * Positions of a work-item's queries begin at a multiple of BQ, so they lie in one span. An empty
 * state has l = 0, and only that. A key that a row may not see has the weight -0: it adds nothing to a
 * sum, and is told by it where values are not finite, since there it has to be passed over. */

#define DVV (DVP / 16)

/* Element i of a, of b, of the next: those of the lower halves, and of the upper ones. */
static inline float16 zip_low(float16 a, float16 b)
{
    return (float16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6,
                     a.s7, b.s7);
}

static inline float16 zip_high(float16 a, float16 b)
{
    return (float16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se,
                     a.sf, b.sf);
}

/* 16 rows of 16 turned: four times each row is zipped with the one eight further on. */
static inline void turn(float16 *t)
{
    for (int round = 0; round < 4; round++) {
        float16 u[16];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            u[2 * i] = zip_low(t[i], t[i + 8]);
            u[2 * i + 1] = zip_high(t[i], t[i + 8]);
        }
#pragma unroll
        for (int i = 0; i < 16; i++)
            t[i] = u[i];
    }
}

/* Keys of the block to kt[d][64], 0 where there are none. */
static void pack_k(__global const float *k, long at, long stride, int keys, int d_end, float16 *kt)
{
    for (int key = 0; key < LAW_BLOCK; key += 16)
        for (int d = 0; d < DP; d += 16) {
            float16 t[16];
#pragma unroll
            for (int i = 0; i < 16; i++)
                t[i] = key + i < keys ? load16(k, at + (key + i) * stride + d, d_end - d, KVT)
                                      : (float16)(0.0f);
            turn(t);
#pragma unroll
            for (int i = 0; i < 16; i++)
                kt[(d + i) * (LAW_BLOCK / 16) + key / 16] = t[i];
        }
}

/* Values of the block to vt[key][DVP]; returns whether one of them is not finite. */
static int pack_v(__global const float *v, long at, long stride, int keys, int dv_end, float16 *vt)
{
    uint16 bad = (uint16)(0u);
    for (int key = 0; key < LAW_BLOCK; key++)
        for (int j = 0; j < DVV; j++) {
            float16 x = (float16)(0.0f);
            if (key < keys)
                x = load16(v, at + key * stride + j * 16, dv_end - j * 16, KVT);
            uint16 e = as_uint16(x) & (uint16)(0x7f800000u);
            bad |= as_uint16(e == (uint16)(0x7f800000u));
            vt[key * DVV + j] = x;
        }
    return any(as_int16(bad));
}

/* Scores of RS queries with the block's keys: s[r][4] vectors along the keys. */
static inline void scores(const float *q, const float *kt, float16 *s)
{
    for (int g = 0; g < 4; g += KV4) {
        float16 c[RS][KV4];
#pragma unroll
        for (int r = 0; r < RS; r++)
#pragma unroll
            for (int j = 0; j < KV4; j++)
                c[r][j] = (float16)(0.0f);
        for (int d = 0; d < DP; d++) {
            float16 k[KV4];
#pragma unroll
            for (int j = 0; j < KV4; j++)
                k[j] = vload16(d * 4 + g + j, kt);
#pragma unroll
            for (int r = 0; r < RS; r++) {
                float16 a = (float16)(q[r * DP + d]);
#pragma unroll
                for (int j = 0; j < KV4; j++)
                    c[r][j] = fma(a, k[j], c[r][j]);
            }
        }
#pragma unroll
        for (int r = 0; r < RS; r++)
#pragma unroll
            for (int j = 0; j < KV4; j++)
                s[r * 4 + g + j] = c[r][j];
    }
}

/* One row's 4 vectors of scores, of which end keys may be seen, to weights in p; m, l and o follow. */
static inline void weigh(float16 *s, int end, float *m, float16 *l, float16 *o, float16 *p)
{
    const float16 index = (float16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const float16 none = (float16)(-INFINITY);
    float16 top = none;
    for (int j = 0; j < 4; j++) {
        if (end < LAW_BLOCK)
            s[j] = index + (float16)(16.0f * j) < (float16)((float)end) ? s[j] : none;
        top = law_block_max(s[j], top);
    }
    float b = ceil(max16(top));
    if (b > *m) {
        float16 f = law_pow2((float16)(*m - b));
        *m = b;
        *l = law_rescale(*l, f);
        for (int j = 0; j < DVV; j++)
            o[j] = law_rescale(o[j], f);
    }
    for (int j = 0; j < 4; j++) {
        float16 w = law_p2(s[j], (float16)(*m));
        w = s[j] == none ? (float16)(-0.0f) : w;
        *l = *l + w;
        p[j] = w;
    }
}

/* o of RS rows takes the block's values; p: [RS][64]. */
static inline void gather(const float *p, const float16 *vt, float16 *o)
{
    for (int j0 = 0; j0 < DVV; j0 += KV4) {
        float16 c[RS][KV4];
#pragma unroll
        for (int r = 0; r < RS; r++)
#pragma unroll
            for (int j = 0; j < KV4; j++)
                c[r][j] = o[r * DVV + (j0 + j < DVV ? j0 + j : 0)];
        for (int key = 0; key < LAW_BLOCK; key++) {
            float16 v[KV4];
#pragma unroll
            for (int j = 0; j < KV4; j++)
                v[j] = vt[key * DVV + (j0 + j < DVV ? j0 + j : 0)];
#pragma unroll
            for (int r = 0; r < RS; r++) {
                float16 a = (float16)(p[r * LAW_BLOCK + key]);
#pragma unroll
                for (int j = 0; j < KV4; j++)
                    c[r][j] = fma(a, v[j], c[r][j]);
            }
        }
#pragma unroll
        for (int r = 0; r < RS; r++)
#pragma unroll
            for (int j = 0; j < KV4; j++)
                if (j0 + j < DVV)
                    o[r * DVV + j0 + j] = c[r][j];
    }
}

/* The same with hidden keys passed over, for values that are not finite. */
static void gather_wild(const float *p, const float16 *vt, float16 *o)
{
    for (int r = 0; r < RS; r++)
        for (int key = 0; key < LAW_BLOCK; key++) {
            float w = p[r * LAW_BLOCK + key];
            if (is_hidden(w))
                continue;
            for (int j = 0; j < DVV; j++)
                o[r * DVV + j] = fma((float16)(w), vt[key * DVV + j], o[r * DVV + j]);
        }
}

/* A span's state of one row joins the running one. */
static void merge(float m, float l, const float16 *o, __global float2 *state_ml,
                  __global float *state_o)
{
    float2 run = *state_ml;
    if (l == 0.0f)
        return;
    if (run.y == 0.0f) {
        for (int j = 0; j < DVV; j++)
            vstore16(o[j], j, state_o);
        run = (float2)(m, l);
    } else if (m > run.x) {
        float16 f = law_pow2((float16)(run.x - m));
        for (int j = 0; j < DVV; j++)
            vstore16(law_join(vload16(j, state_o), f, o[j]), j, state_o);
        run = (float2)(m, fma(run.y, f.s0, l));
    } else {
        float16 f = law_pow2((float16)(m - run.x));
        for (int j = 0; j < DVV; j++)
            vstore16(law_join(o[j], f, vload16(j, state_o)), j, state_o);
        run.y = fma(l, f.s0, run.y);
    }
    *state_ml = run;
}

__kernel void attn_cpu(__global const float *q, long4 qv, __global const float *kk, long4 kv,
                       __global const float *vv, long4 vv4, __global float *state_o,
                       __global float2 *state_ml, int heads, int group, long head0, long tile0,
                       long offset, long sq, int d_end, int dv_end, long sk, long piece0,
                       long piece_keys, long span_lo, long span_hi, int causal, int phases,
                       int first, float c)
{
    float16 kt[DP * 4], vt[LAW_BLOCK * DVV], qs[BQ * DP / 16], o[BQ * DVV], l[BQ];
    float16 s[RS * 4], p[RS * 4];
    float m[BQ];
    const long head = head0 + (long)get_global_id(1), b = head / heads, h = head % heads;
    const long tile = causal ? (long)get_global_size(0) - 1 - (long)get_global_id(0)
                             : (long)get_global_id(0);
    const long pos0 = tile0 + tile * BQ, i0 = pos0 - offset;
    const long row0 = ((long)get_global_id(1) * get_global_size(0) + tile) * BQ;
    const long k_at = kv.x + b * kv.y + (h / group) * kv.z;
    const long v_at = vv4.x + b * vv4.y + (h / group) * vv4.z;
    const long own = clamp(pos0 >> 9, 0L, (sk - 1) >> 9);
    const long top = min(own, span_hi - 1), low2 = max(own + 1, span_lo);
    const long n1 = (phases & 1) ? max(top - span_lo + 1, 0L) : 0;
    const long n2 = (phases & 2) && !causal ? max(span_hi - low2, 0L) : 0;
    /* rows that exist, widened to whole groups of RS */
    const int r_lo = (int)clamp(-i0, 0L, (long)BQ) / RS * RS;
    const int r_hi = (int)(clamp(sq - i0, 0L, (long)BQ) + RS - 1) / RS * RS;

    if (first)
        for (int r = 0; r < BQ; r++)
            state_ml[row0 + r] = (float2)(-INFINITY, 0.0f);
    for (int r = r_lo; r < r_hi; r++)
        for (int d = 0; d < DP; d += 16) {
            float16 x = (float16)(0.0f);
            if (i0 + r >= 0 && i0 + r < sq)
                x = load16(q, qv.x + b * qv.y + h * qv.z + (i0 + r) * qv.w + d, d_end - d, 0);
            qs[(r * DP + d) / 16] = x * (float16)(c);
        }
    for (long is = 0; is < n1 + n2; is++) {
        const long span = is < n1 ? top - is : span_hi - 1 - (is - n1);
        long key_end = min((span + 1) * LAW_SPAN, piece0 + piece_keys);
        if (causal)
            key_end = min(key_end, pos0 + BQ);
        if (key_end <= span * LAW_SPAN)
            continue;
        for (int r = r_lo; r < r_hi; r++) {
            m[r] = -INFINITY;
            l[r] = (float16)(0.0f);
            for (int j = 0; j < DVV; j++)
                o[r * DVV + j] = (float16)(0.0f);
        }
        for (long key0 = span * LAW_SPAN; key0 < key_end; key0 += LAW_BLOCK) {
            const int keys = (int)min(key_end - key0, (long)LAW_BLOCK);
            pack_k(kk, k_at + (key0 - piece0) * kv.w, kv.w, keys, d_end, kt);
            int wild = pack_v(vv, v_at + (key0 - piece0) * vv4.w, vv4.w, keys, dv_end, vt);
            for (int r = r_lo; r < r_hi; r += RS) {
                if (causal && pos0 + r + RS <= key0)
                    continue;
                scores((const float *)qs + r * DP, (const float *)kt, s);
                for (int i = 0; i < RS; i++) {
                    int end = keys;
                    if (causal)
                        end = (int)clamp(pos0 + r + i + 1 - key0, 0L, (long)keys);
                    weigh(s + i * 4, end, &m[r + i], &l[r + i], o + (r + i) * DVV, p + i * 4);
                }
                if (wild)
                    gather_wild((const float *)p, vt, o + r * DVV);
                else
                    gather((const float *)p, vt, o + r * DVV);
            }
        }
        for (int r = r_lo; r < r_hi; r++)
            merge(m[r], lane_tree16(l[r]), o + r * DVV, state_ml + row0 + r,
                  state_o + (row0 + r) * DVP);
    }
}
