/* A session whose sequence is spread over several devices.
 *
 * The cache: `owner` says on which device each span of 512 tokens lies. A device keeps its spans in
 * ascending order, one behind the other; only the last span of the sequence may be incomplete. What is
 * beyond the session's position is nobody's, so that rewinding changes nothing here.
 *
 * A prompt at position 0 is cut by anl_ring_plan(); each device takes its pieces through the whole model
 * where they lie, all at the same time, and attention is the ring's. Tokens that follow (decoding, later
 * chunks of a prompt) go in groups of at most GROUP that lie in one span. That span's device, home, computes
 * them; for attention each device gives the states of its own spans, at the same time, which come to home
 * through host memory and are merged there. A new span goes to the device with most room. */
#include "sharded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane.h"

enum { SPAN = 512, GROUP = 32 };

/* Rows of the last append that lie on one device, in order. */
struct segment {
    int device;
    int64_t first, n; /* of the append */
    int64_t row;      /* on the device */
};

struct shard {
    struct lm_lane lane;
    int64_t room;               /* spans */
    int64_t used;               /* rows of h, by the present append */
    struct anl_buffer **k, **v; /* [block] */
    struct anl_buffer *m, *l, *o;                /* states of its spans, for a group */
    struct anl_buffer *all_m, *all_l, *all_o;    /* of all spans: merged here while it is home */
    struct anl_kv_piece *run;   /* spans that follow each other */
    int n_runs;
    int64_t spans, *number; /* spans that it has, and which */
    float *states;          /* m, l and o on their way */
};

struct lm_sharded {
    struct lm_model *model;
    struct anl_context *context;
    struct anl_ring *ring;
    int n;
    int64_t capacity, spans; /* spans of the capacity */
    int *owner;              /* [spans] */
    struct shard *shard;
    struct segment *segment;
    int64_t n_segments;
    struct anl_ring_piece *piece;
    struct anl_ring_shard *view;
    /* what the tasks of the ring read */
    const int32_t *ids, *targets;
    int64_t position, block, row0, rows, group;
    int home;
    float *q, *m, *l, *o, *out;
    int64_t *numbers; /* 0, 1, ... */
    char message[512];
};

static anl_status say(struct lm_sharded *s, anl_status status, const char *why)
{
    if (status)
        snprintf(s->message, sizeof s->message, "%s", why);
    return status;
}

static anl_status each(struct lm_sharded *s, anl_status (*task)(void *, int, struct anl_device *))
{
    return say(s, anl_ring_each(s->ring, task, s), anl_ring_message(s->ring));
}

const char *sharded_message(const struct lm_sharded *s)
{
    return s->message;
}

/* Room for what any prompt that fits may bring. */
static anl_status plan_rooms(struct lm_sharded *s)
{
    for (int64_t spans = 1; spans <= s->spans; spans++) {
        anl_status r = anl_ring_plan(s->ring, spans * SPAN, 1, s->piece);
        if (r)
            return say(s, r, anl_ring_message(s->ring));
        for (int i = 0; i < s->n; i++) {
            int64_t low = s->piece[i].length, high = s->piece[2 * s->n - 1 - i].length;
            int64_t has = (low + high) / SPAN;
            s->shard[i].room = has > s->shard[i].room ? has : s->shard[i].room;
        }
    }
    return ANL_OK;
}

static anl_status make_shard(struct lm_sharded *s, int i, int64_t chunk)
{
    const struct lm_shape *sh = &s->model->shape;
    struct anl_device *device = s->model->part[i].device;
    struct shard *d = &s->shard[i];
    int64_t tokens = d->room * SPAN < s->capacity ? d->room * SPAN : s->capacity;
    int64_t rows = tokens < chunk ? tokens : chunk, states = sh->heads * GROUP;
    uint64_t cache = (uint64_t)(tokens * sh->kv_heads * sh->head_dim) * sizeof(float);
    anl_status r = lane_open(&d->lane, sh, &s->model->part[i], rows < GROUP ? GROUP : rows, s->capacity);
    const struct {
        struct anl_buffer **out;
        int64_t n;
    } want[] = { { &d->m, states * d->room },       { &d->l, states * d->room },
                 { &d->o, states * d->room * sh->head_dim },
                 { &d->all_m, states * s->spans },  { &d->all_l, states * s->spans },
                 { &d->all_o, states * s->spans * sh->head_dim } };

    for (size_t j = 0; !r && j < sizeof want / sizeof *want; j++)
        r = anl_buffer_create(device, (uint64_t)want[j].n * sizeof(float), want[j].out);
    for (int64_t j = 0; !r && j < sh->blocks; j++) {
        r = anl_buffer_create(device, cache, &d->k[j]);
        if (!r)
            r = anl_buffer_create(device, cache, &d->v[j]);
    }
    return say(s, r, anl_device_message(device));
}

static anl_status open_ring(struct lm_sharded *s)
{
    struct anl_device **devices = calloc((size_t)s->n, sizeof *devices);
    struct anl_ring_params p = { .size = sizeof p, .devices = devices, .n_devices = s->n,
                                 .weights = s->model->weights,
                                 .error = s->message, .error_size = sizeof s->message };
    anl_status r = devices ? anl_context_create(NULL, &s->context) : ANL_E_MEMORY;

    for (int i = 0; devices && i < s->n; i++)
        devices[i] = s->model->part[i].device;
    if (!r)
        r = anl_ring_create(s->context, &p, &s->ring);
    free(devices);
    return r;
}

/* Host memory whose size the model and the capacity give. */
static anl_status make_host(struct lm_sharded *s, int64_t chunk)
{
    const struct lm_shape *sh = &s->model->shape;
    size_t states = (size_t)(sh->heads * GROUP * s->spans), n = (size_t)s->n;
    int ok;

    s->owner = calloc((size_t)s->spans, sizeof *s->owner);
    s->numbers = calloc((size_t)s->spans, sizeof *s->numbers);
    s->shard = calloc(n, sizeof *s->shard);
    s->piece = calloc(2 * n, sizeof *s->piece);
    s->view = calloc(2 * n, sizeof *s->view);
    s->segment = calloc(2 * n + (size_t)(chunk / GROUP + s->spans + 2), sizeof *s->segment);
    s->q = calloc((size_t)(GROUP * sh->heads * sh->head_dim), sizeof(float));
    s->m = calloc(states, sizeof(float));
    s->l = calloc(states, sizeof(float));
    s->o = calloc(states * (size_t)sh->head_dim, sizeof(float));
    ok = s->owner && s->numbers && s->shard && s->piece && s->view && s->segment && s->q && s->m && s->l &&
         s->o;
    for (int64_t i = 0; ok && i < s->spans; i++)
        s->numbers[i] = i;
    for (int i = 0; ok && i < s->n; i++) {
        struct shard *d = &s->shard[i];
        d->k = calloc((size_t)sh->blocks, sizeof *d->k);
        d->v = calloc((size_t)sh->blocks, sizeof *d->v);
        d->run = calloc((size_t)s->spans, sizeof *d->run);
        d->number = calloc((size_t)s->spans, sizeof *d->number);
        d->states = calloc(states * (size_t)(sh->head_dim + 2), sizeof(float));
        ok = d->k && d->v && d->run && d->number && d->states;
    }
    return say(s, ok ? ANL_OK : ANL_E_MEMORY, "out of memory");
}

anl_status sharded_new(struct lm_model *model, int64_t capacity, int64_t chunk, struct lm_sharded **out,
                       struct gguf_error *err)
{
    struct lm_sharded *s = calloc(1, sizeof *s);
    anl_status r;

    *out = NULL;
    if (!s)
        return ANL_E_MEMORY;
    s->model = model;
    s->n = model->n;
    s->capacity = capacity;
    s->spans = (capacity + SPAN - 1) / SPAN;
    r = make_host(s, chunk);
    if (!r)
        r = open_ring(s);
    if (!r)
        r = plan_rooms(s);
    for (int i = 0; !r && i < s->n; i++)
        r = make_shard(s, i, chunk);
    if (!r) {
        *out = s;
        return ANL_OK;
    }
    snprintf(err->message, sizeof err->message, "%.*s", (int)sizeof err->message - 1, s->message);
    sharded_free(s);
    return r;
}

static void free_shard(struct shard *d, int64_t blocks)
{
    struct anl_buffer *const states[] = { d->m, d->l, d->o, d->all_m, d->all_l, d->all_o };

    lane_close(&d->lane);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        anl_buffer_destroy(states[i]);
    for (int64_t i = 0; d->k && d->v && i < blocks; i++) {
        anl_buffer_destroy(d->k[i]);
        anl_buffer_destroy(d->v[i]);
    }
    free(d->k);
    free(d->v);
    free(d->run);
    free(d->number);
    free(d->states);
}

void sharded_free(struct lm_sharded *s)
{
    if (!s)
        return;
    anl_ring_destroy(s->ring);
    for (int i = 0; s->shard && i < s->n; i++)
        free_shard(&s->shard[i], s->model->shape.blocks);
    anl_context_destroy(s->context);
    free(s->owner);
    free(s->numbers);
    free(s->shard);
    free(s->piece);
    free(s->view);
    free(s->segment);
    free(s->q);
    free(s->m);
    free(s->l);
    free(s->o);
    free(s);
}

/* Prefill. */

/* Where in a device's cache a span lies: as many of its own are before it. */
static int64_t slot_of(const struct lm_sharded *s, int device, int64_t span)
{
    int64_t slot = 0;

    for (int64_t i = 0; i < span; i++)
        slot += s->owner[i] == device;
    return slot;
}

/* From a block's attention to the next one's queries, of the device's pieces. */
static anl_status prefill_task(void *user, int index, struct anl_device *device)
{
    struct lm_sharded *s = user;
    struct shard *d = &s->shard[index];
    anl_status r = ANL_OK;

    (void)device;
    for (int64_t i = 0; !r && i < s->n_segments; i++) {
        const struct segment *g = &s->segment[i];
        if (g->device != index)
            continue;
        r = s->block ? lane_finish_block(&d->lane, s->block - 1, g->row, g->n, g->row)
                     : lane_embed(&d->lane, s->ids + g->first, g->row, g->n);
        if (!r && s->block < s->model->shape.blocks)
            r = lane_project(&d->lane, s->block, g->row, g->n, g->first, g->row, d->k[s->block],
                             d->v[s->block], g->row);
    }
    return r;
}

static anl_status ring_attention(struct lm_sharded *s)
{
    struct anl_ring_attn_params p = { .size = sizeof p, .shards = s->view, .n_shards = 2 * s->n,
                                      .causal = 1 };
    memset(s->view, 0, (size_t)(2 * s->n) * sizeof *s->view);
    for (int64_t i = 0, piece = 0; i < s->n_segments; i++, piece++) {
        const struct segment *g = &s->segment[i];
        struct shard *d = &s->shard[g->device];
        while (s->piece[piece].length == 0)
            piece++;
        s->view[piece].k = lane_cached(&d->lane, d->k[s->block], g->row, g->n);
        s->view[piece].v = lane_cached(&d->lane, d->v[s->block], g->row, g->n);
        s->view[piece].q = lane_heads(&d->lane, d->lane.q, g->row, g->n);
        s->view[piece].out = lane_heads(&d->lane, d->lane.att, g->row, g->n);
    }
    return say(s, anl_ring_attn(s->ring, &p), anl_ring_message(s->ring));
}

static anl_status prefill(struct lm_sharded *s, int64_t n)
{
    anl_status r = say(s, anl_ring_plan(s->ring, n, 1, s->piece), anl_ring_message(s->ring));

    for (int i = 0; !r && i < 2 * s->n; i++) {
        const struct anl_ring_piece *p = &s->piece[i];
        struct shard *d = &s->shard[p->device];
        if (p->length == 0)
            continue;
        s->segment[s->n_segments++] = (struct segment){ p->device, p->start, p->length, d->used };
        d->used += p->length;
        for (int64_t at = p->start; at < p->start + p->length; at += SPAN)
            s->owner[at / SPAN] = p->device;
    }
    for (s->block = 0; !r && s->block <= s->model->shape.blocks; s->block++) {
        r = each(s, prefill_task);
        if (!r && s->block < s->model->shape.blocks)
            r = ring_attention(s);
    }
    return r;
}

/* A group of tokens behind others. */

/* The device that a new span goes to. */
static int roomiest(const struct lm_sharded *s, int64_t span)
{
    int best = 0;
    int64_t most = -1;

    for (int i = 0; i < s->n; i++) {
        int64_t left = s->shard[i].room - slot_of(s, i, span);
        if (left > most) {
            most = left;
            best = i;
        }
    }
    return best;
}

/* The spans that a device has of the first `keys` keys. */
static void find_spans(const struct lm_sharded *s, int device, int64_t keys)
{
    struct shard *d = &s->shard[device];

    d->spans = 0;
    for (int64_t i = 0; i * SPAN < keys; i++)
        if (s->owner[i] == device)
            d->number[d->spans++] = i;
}

/* Their keys and values in the present block, those of spans that follow each other as one piece. */
static void find_runs(const struct lm_sharded *s, struct shard *d, int64_t keys)
{
    d->n_runs = 0;
    for (int64_t i = 0, end; i < d->spans; i = end) {
        struct anl_kv_piece *run = &d->run[d->n_runs++];
        int64_t start = d->number[i] * SPAN, stop;
        for (end = i + 1; end < d->spans && d->number[end] == d->number[end - 1] + 1;)
            end++;
        stop = (d->number[end - 1] + 1) * SPAN < keys ? (d->number[end - 1] + 1) * SPAN : keys;
        run->k = lane_cached(&d->lane, d->k[s->block], i * SPAN, stop - start);
        run->v = lane_cached(&d->lane, d->v[s->block], i * SPAN, stop - start);
        run->start = start;
    }
}

/* From the device's order [row][its span] into that of all spans. */
static void scatter(const struct lm_sharded *s, const struct shard *d, int64_t all)
{
    int64_t dim = s->model->shape.head_dim, rows = s->model->shape.heads * s->group, n = d->spans;
    const float *m = d->states, *l = m + rows * n, *o = l + rows * n;

    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            int64_t to = r * all + d->number[i];
            s->m[to] = m[r * n + i];
            s->l[to] = l[r * n + i];
            memcpy(s->o + to * dim, o + (r * n + i) * dim, (size_t)dim * sizeof(float));
        }
}

/* The states of a device's spans, to host memory. */
static anl_status states_task(void *user, int index, struct anl_device *device)
{
    struct lm_sharded *s = user;
    struct shard *d = &s->shard[index];
    const struct lm_shape *sh = &s->model->shape;
    int64_t h = sh->heads, g = s->group, dim = sh->head_dim, keys = s->position + g;
    uint64_t n = (uint64_t)(h * g * d->spans) * sizeof(float);
    struct anl_attn_states_params p = { .size = sizeof p, .pieces = d->run, .keys = keys, .causal = 1 };
    anl_status r = ANL_OK;

    if (d->spans == 0)
        return ANL_OK;
    find_runs(s, d, keys);
    if (index != s->home)
        r = anl_buffer_write(d->lane.q, 0, s->q, (uint64_t)(g * h * dim) * sizeof(float));
    p.n_pieces = d->n_runs;
    p.q = lane_heads(&d->lane, d->lane.q, 0, g);
    p.m = anl_tensor_4d(d->m, 0, ANL_F32, 1, h, g, d->spans);
    p.l = anl_tensor_4d(d->l, 0, ANL_F32, 1, h, g, d->spans);
    p.o = anl_tensor_4d(d->o, 0, ANL_F32, h, g, d->spans, dim);
    if (!r)
        r = anl_attn_states(device, &p);
    if (!r)
        r = anl_buffer_read(d->m, 0, d->states, n);
    if (!r)
        r = anl_buffer_read(d->l, 0, d->states + h * g * d->spans, n);
    if (!r)
        r = anl_buffer_read(d->o, 0, d->states + 2 * h * g * d->spans, n * (uint64_t)dim);
    if (!r)
        scatter(s, d, (keys + SPAN - 1) / SPAN);
    return r;
}

static anl_status merge(struct lm_sharded *s, struct shard *d)
{
    const struct lm_shape *sh = &s->model->shape;
    int64_t h = sh->heads, g = s->group, keys = s->position + g, all = (keys + SPAN - 1) / SPAN;
    uint64_t n = (uint64_t)(h * g * all) * sizeof(float);
    struct anl_attn_merge_params p = { .size = sizeof p, .spans = s->numbers, .keys = keys, .causal = 1 };
    anl_status r = anl_buffer_write(d->all_m, 0, s->m, n);

    p.span_m = anl_tensor_4d(d->all_m, 0, ANL_F32, 1, h, g, all);
    p.span_l = anl_tensor_4d(d->all_l, 0, ANL_F32, 1, h, g, all);
    p.span_o = anl_tensor_4d(d->all_o, 0, ANL_F32, h, g, all, sh->head_dim);
    p.out = lane_heads(&d->lane, d->lane.att, 0, g);
    if (!r)
        r = anl_buffer_write(d->all_l, 0, s->l, n);
    if (!r)
        r = anl_buffer_write(d->all_o, 0, s->o, n * (uint64_t)sh->head_dim);
    return r ? r : anl_attn_merge(d->lane.w->device, &p);
}

/* Attention of the group whose queries are home's. */
static anl_status group_attention(struct lm_sharded *s, struct shard *home)
{
    struct anl_device *device = home->lane.w->device;
    int64_t keys = s->position + s->group, all = (keys + SPAN - 1) / SPAN;
    uint64_t bytes = (uint64_t)(s->group * s->model->shape.heads * s->model->shape.head_dim) *
                     sizeof(float);
    anl_status r;

    if (home->spans == all) { /* nobody else has any */
        struct anl_attn_params p = { .size = sizeof p, .pieces = home->run, .causal = 1 };
        find_runs(s, home, keys);
        p.n_pieces = home->n_runs;
        p.q = lane_heads(&home->lane, home->lane.q, 0, s->group);
        p.out = lane_heads(&home->lane, home->lane.att, 0, s->group);
        return say(s, anl_attn(device, &p), anl_device_message(device));
    }
    r = say(s, anl_buffer_read(home->lane.q, 0, s->q, bytes), anl_device_message(device));
    if (!r)
        r = each(s, states_task);
    return r ? r : say(s, merge(s, home), anl_device_message(device));
}

/* Tokens [first, first + s->group) of the append, which lie in one span. */
static anl_status group(struct lm_sharded *s, int64_t first)
{
    int64_t span = s->position / SPAN;
    struct shard *d;
    int64_t kv_row, row;
    anl_status r;

    if (s->position % SPAN == 0)
        s->owner[span] = roomiest(s, span);
    s->home = s->owner[span];
    d = &s->shard[s->home];
    for (int i = 0; i < s->n; i++)
        find_spans(s, i, s->position + s->group);
    kv_row = slot_of(s, s->home, span) * SPAN + s->position % SPAN;
    row = d->used;
    d->used += s->group;
    s->segment[s->n_segments++] = (struct segment){ s->home, first, s->group, row };
    r = say(s, lane_embed(&d->lane, s->ids + first, row, s->group), anl_device_message(d->lane.w->device));
    for (s->block = 0; !r && s->block < s->model->shape.blocks; s->block++) {
        r = lane_project(&d->lane, s->block, row, s->group, s->position, 0, d->k[s->block], d->v[s->block],
                         kv_row);
        say(s, r, anl_device_message(d->lane.w->device));
        if (!r)
            r = group_attention(s, d);
        if (!r) {
            r = lane_finish_block(&d->lane, s->block, row, s->group, 0);
            say(s, r, anl_device_message(d->lane.w->device));
        }
    }
    return r;
}

anl_status sharded_append(struct lm_sharded *s, int64_t position, const int32_t *ids, int64_t n)
{
    anl_status r = ANL_OK;

    s->ids = ids;
    s->n_segments = 0;
    for (int i = 0; i < s->n; i++)
        s->shard[i].used = 0;
    if (position == 0)
        return prefill(s, n);
    for (int64_t first = 0; !r && first < n; first += s->group) {
        int64_t left = SPAN - (position + first) % SPAN;
        s->position = position + first;
        s->group = n - first < GROUP ? n - first : GROUP;
        s->group = s->group < left ? s->group : left;
        r = group(s, first);
    }
    return r;
}

/* Results: each device those of its own rows, put down by position. */

/* The rows of a segment that are asked for: *at of them lie before it. */
static int64_t asked(const struct lm_sharded *s, const struct segment *g, int64_t *row, int64_t *at)
{
    int64_t from = s->row0 > g->first ? s->row0 : g->first;
    int64_t to = s->row0 + s->rows < g->first + g->n ? s->row0 + s->rows : g->first + g->n;

    *row = g->row + from - g->first;
    *at = from - s->row0;
    return to - from;
}

static anl_status results_task(void *user, int index, struct anl_device *device)
{
    struct lm_sharded *s = user;
    struct lm_lane *lane = &s->shard[index].lane;
    anl_status r = ANL_OK;

    (void)device;
    for (int64_t i = 0; !r && i < s->n_segments; i++) {
        int64_t row, at, n = asked(s, &s->segment[i], &row, &at);
        if (n <= 0 || s->segment[i].device != index)
            continue;
        r = s->targets ? lane_nll(lane, row, n, s->targets + at, s->out + at)
                       : lane_hidden(lane, row, n, s->out + at * s->model->shape.dm);
    }
    return r;
}

anl_status sharded_hidden(struct lm_sharded *s, int64_t row0, int64_t rows, float *out)
{
    s->row0 = row0;
    s->rows = rows;
    s->targets = NULL;
    s->out = out;
    return each(s, results_task);
}

anl_status sharded_nll(struct lm_sharded *s, int64_t row0, int64_t rows, const int32_t *targets,
                       float *out)
{
    s->row0 = row0;
    s->rows = rows;
    s->targets = targets;
    s->out = out;
    return rows ? each(s, results_task) : ANL_OK;
}

anl_status sharded_logits(struct lm_sharded *s, int64_t row, float *out)
{
    anl_status r = ANL_OK;

    s->row0 = row;
    s->rows = 1;
    for (int64_t i = 0; !r && i < s->n_segments; i++) {
        const struct segment *g = &s->segment[i];
        struct lm_lane *lane = &s->shard[g->device].lane;
        int64_t at, there;
        if (asked(s, g, &there, &at) > 0)
            r = say(s, lane_logits(lane, there, out), anl_device_message(lane->w->device));
    }
    return r;
}
