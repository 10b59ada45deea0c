/* cl/attn_end.cl: what comes before and after the spans: a row's state is fresh or the caller's
 * (attn_begin); the result is written, from a row's one state (attn_end) or from the states of its spans,
 * where each was computed on its own (attn_merge, or attn_merge_states of the caller's); or those go to the
 * caller (attn_store). */

static inline long view_at(long4 v, long b, long h, long i)
{
    return v.x + b * v.y + h * v.z + i * v.w;
}

/* One element of the result of query i of head h of batch b, from the state's (m, l) and its x of o.
 * flags: 1 out, 2 state. */
static inline void put(float2 ml, float x, long b, long h, long i, int col, __global float *out,
                       long4 outv, int out_type, __global float *m, long4 mv, __global float *l,
                       long4 lv, __global float *o, long4 ov, int flags)
{
    const int empty = ml.y == 0.0f;
    if (flags & 2) {
        store1(o, view_at(ov, b, h, i) + col, 0, empty ? 0.0f : x);
        if (col == 0) {
            store1(m, view_at(mv, b, h, i), 0, empty ? -INFINITY : ml.x);
            store1(l, view_at(lv, b, h, i), 0, ml.y);
        }
    }
    if (flags & 1) /* last: out may be o */
        store1(out, view_at(outv, b, h, i) + col, out_type, empty ? 0.0f : x * law_recip(ml.y));
}

/* The running states of head_rows rows a head: row r is query i0 + r, if there is one, and has the
 * caller's state if there is one (given) and it is not empty. One work-item per element of o; the states
 * begin at state0. */
__kernel void attn_begin(__global float *state_o, __global float2 *state_ml, long state0, int dvp, int dv,
                         int heads, long head0, long head_rows, long i0, long sq, __global const float *m,
                         long4 mv, __global const float *l, long4 lv, __global const float *o, long4 ov,
                         int given)
{
    const long e = get_global_id(0), r = e / dvp, i = i0 + r, head = head0 + (long)get_global_id(1);
    const long row = state0 + (long)get_global_id(1) * head_rows + r, b = head / heads, h = head % heads;
    const int col = (int)(e % dvp);
    if (r >= head_rows)
        return;
    const int there = given && i >= 0 && i < sq;
    const float sum = there ? load1(l, view_at(lv, b, h, i), 0) : 0.0f;
    state_o[row * dvp + col] =
        sum != 0.0f && col < dv ? load1(o, view_at(ov, b, h, i) + col, 0) : 0.0f;
    if (col == 0)
        state_ml[row] = sum != 0.0f ? (float2)(load1(m, view_at(mv, b, h, i), 0), sum)
                                    : (float2)(-INFINITY, 0.0f);
}

/* One work-item per element of o; rows of a head begin at head * head_rows + shift. */
__kernel void attn_end(__global const float *state_o, __global const float2 *state_ml, int dvp,
                       int dv, int heads, long head0, long head_rows, long shift, long i0, long n,
                       __global float *out, long4 outv, int out_type, __global float *m, long4 mv,
                       __global float *l, long4 lv, __global float *o, long4 ov, int flags)
{
    const long e = get_global_id(0), i = e / dv, head = head0 + (long)get_global_id(1);
    const int col = (int)(e % dv);
    if (i >= n)
        return;
    const long row = (long)get_global_id(1) * head_rows + shift + i, b = head / heads, h = head % heads;
    put(state_ml[row], state_o[row * dvp + col], b, h, i0 + i, col, out, outv, out_type, m, mv, l, lv,
        o, ov, flags);
}

/* A span's state and its x of o join the running ones. */
static inline void join_state(float2 *run, float *x, float2 s, float so)
{
    if (s.y == 0.0f)
        return;
    if (run->y == 0.0f) {
        *run = s;
        *x = so;
    } else if (s.x > run->x) {
        float f = law_pow2(run->x - s.x);
        *run = (float2)(s.x, law_join(run->y, f, s.y));
        *x = law_join(*x, f, so);
    } else {
        float f = law_pow2(s.x - run->x);
        run->y = law_join(s.y, f, run->y);
        *x = law_join(so, f, *x);
    }
}

/* The states [row][span] of spans span0 to span0 + spans - 1 are merged in ring order; one work-item per
 * element of o. Row r is query r % sq of head head0 + r / sq; last is the last span of all keys. phases: 1
 * spans up to a row's own, 2 those above. With resume the rows' running states lie behind the spans'. */
__kernel void attn_merge(__global const float *span_o, __global const float2 *span_ml, int dvp, int dv,
                         int span0, int spans, int last, int heads, long head0, long sq, long offset,
                         int phases, long rows, int resume, __global float *out, long4 outv,
                         int out_type, __global float *m, long4 mv, __global float *l, long4 lv,
                         __global float *o, long4 ov, int flags)
{
    const long e = get_global_id(0), row = e / dv;
    const int col = (int)(e % dv);
    if (row >= rows)
        return;
    const long head = head0 + row / sq, query = row % sq;
    /* the row's own span among these; all of them may lie above it, or below */
    const int own = (int)clamp((offset + query) >> 9, 0L, (long)last) - span0;
    const int top = min(own, spans - 1), down = phases & 1 ? max(top + 1, 0) : 0;
    const int above = phases & 2 ? spans - max(min(own + 1, spans), 0) : 0;
    float2 run = (float2)(-INFINITY, 0.0f);
    float x = 0.0f;
    if (resume) {
        run = span_ml[rows * spans + row];
        x = span_o[(rows * spans + row) * dvp + col];
    }
    for (int i = 0; i < down + above; i++) {
        const int span = i < down ? top - i : spans - 1 - (i - down);
        const float2 s = span_ml[row * spans + span];
        const float so = span_o[(row * spans + span) * dvp + col];
        join_state(&run, &x, s, so);
    }
    put(run, x, head / heads, head % heads, query, col, out, outv, out_type, m, mv, l, lv, o, ov,
        flags);
}

/* The same of the caller's states of spans, for queries i0 to i0 + n - 1: the first down of them, from
 * the last of those on downwards, then those from number to - 1 on downwards to down. */
__kernel void attn_merge_states(__global const float *sm, long4 smv, __global const float *sl, long4 slv,
                                __global const float *so, long4 sov, long down, long to, int dv,
                                int heads, long i0, long n, __global float *out, long4 outv, int out_type,
                                __global float *m, long4 mv, __global float *l, long4 lv,
                                __global float *o, long4 ov, int flags)
{
    const long e = get_global_id(0), i = i0 + e / dv, head = get_global_id(1);
    const long b = head / heads, h = head % heads;
    const int col = (int)(e % dv);
    if (e / dv >= n)
        return;
    const long m_at = view_at(smv, b, h, i), l_at = view_at(slv, b, h, i);
    float2 run = (float2)(-INFINITY, 0.0f);
    float x = 0.0f;
    for (long k = 0; k < to; k++) {
        const long span = k < down ? down - 1 - k : to - 1 - (k - down);
        join_state(&run, &x, (float2)(load1(sm, m_at + span, 0), load1(sl, l_at + span, 0)),
                   load1(so, view_at(sov, head, i, span) + col, 0));
    }
    put(run, x, b, h, i, col, out, outv, out_type, m, mv, l, lv, o, ov, flags);
}

/* The states [row][span] go to the caller as they are; one work-item per element of o. */
__kernel void attn_store(__global const float *span_o, __global const float2 *span_ml, int dvp, int dv,
                         int spans, int heads, long head0, long sq, long rows, __global float *m,
                         long4 mv, __global float *l, long4 lv, __global float *o, long4 ov)
{
    const long e = get_global_id(0), at = e / dv, row = at / spans, span = at % spans;
    const int col = (int)(e % dv);
    if (row >= rows)
        return;
    const long head = head0 + row / sq, query = row % sq;
    const float2 ml = span_ml[at];
    const int empty = ml.y == 0.0f;
    store1(o, view_at(ov, head, query, span) + col, 0, empty ? 0.0f : span_o[at * dvp + col]);
    if (col == 0) {
        store1(m, view_at(mv, head / heads, head % heads, query) + span, 0, empty ? -INFINITY : ml.x);
        store1(l, view_at(lv, head / heads, head % heads, query) + span, 0, ml.y);
    }
}
