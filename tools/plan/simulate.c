/* tools/plan/simulate.c: the events of a ring, in the order of time. See simulate.h. A thousand devices
 * make tens of millions of them: an event costs a step of a small heap and a look at three ranks. */
#include "tools/plan/simulate.h"

#include <stdlib.h>

/* The chunks of some pieces in the order in which they travel. */
struct walk {
    int piece;
    int64_t left; /* chunks of it */
};

struct rank {
    int device;
    int64_t length, n_chunks;   /* of its own piece */
    int64_t n_own, n_in, n_out; /* chunks: own ones that are sent, that come, that are sent in all */
    int64_t arrived, computed, freed, sending, sent; /* sending: begun */
    int64_t steps, step;
    double left; /* pairs */
    struct walk to_meet, to_send;
    int carrying; /* the link into this rank is busy */
};

/* What a device is doing. */
enum doing { IDLE = 0, COMPUTING, SENDING };

struct device {
    int n_ranks, rank[2];
    enum doing doing;
    int with;       /* rank */
    int64_t chunks; /* that it computes with */
    double idle_since;
    int waited; /* since its last step */
};

struct event {
    double time;
    int id; /* of the device below n_devices, else of the link into rank id - n_devices */
};

struct sim {
    const struct sim_params *p;
    struct sim_device *out;
    struct rank *rank;
    struct device *device;
    struct event *heap; /* each device and each link has at most one event */
    int n_events;
    uint64_t done;
    double now;
};

/* --- the heap: earliest first; at the same time in the order of ids, so that a run can be repeated */

static int earlier(const struct event *a, const struct event *b)
{
    return a->time < b->time || (a->time == b->time && a->id < b->id);
}

static void push(struct sim *s, double time, int id)
{
    struct event e = { time, id };
    int i = s->n_events++;
    while (i > 0 && earlier(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap[0], last = s->heap[--s->n_events];
    int i = 0, n = s->n_events;
    for (int child = 1; child < n; child = 2 * i + 1) {
        child += child + 1 < n && earlier(&s->heap[child + 1], &s->heap[child]);
        if (!earlier(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return first;
}

/* --- pieces and chunks */

static int before(const struct sim *s, int r)
{
    return r > 0 ? r - 1 : s->p->n_ranks - 1;
}

static int after(const struct sim *s, int r)
{
    return r + 1 < s->p->n_ranks ? r + 1 : 0;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tokens of the next chunk. Only a piece's last chunk, which is its first to travel, may be short. */
static int64_t next_chunk(const struct sim *s, struct walk *w)
{
    if (w->left == 0) {
        w->piece = before(s, w->piece);
        w->left = s->rank[w->piece].n_chunks;
    }
    w->left--;
    return smaller(s->p->chunk, s->rank[w->piece].length - w->left * s->p->chunk);
}

/* Pairs of a piece's queries with its own keys: causal, those that are seen; else those of the query's
 * span and the spans before it, which come first in ring order. */
static double own_pairs(const struct sim *s, const struct rank *r)
{
    double n = (double)r->length;
    double whole = (double)(r->length / SIM_SPAN), rest = (double)(r->length % SIM_SPAN);
    if (s->p->causal)
        return n * (n + 1) / 2;
    if (s->p->n_ranks == 1)
        return n * n;
    return SIM_SPAN * SIM_SPAN * whole * (whole + 1) / 2 + rest * n;
}

/* Tokens of the chunks that the next call meets; *count becomes how many they are. From the first piece
 * it is far to the last. */
static int64_t meet(const struct sim *s, struct rank *r, int64_t *count)
{
    int64_t tokens = 0, most = smaller(s->p->batch, r->arrived - r->computed);
    for (*count = 0; *count < most; ++*count) {
        if (*count > 0 && r->to_meet.left == 0 && r->to_meet.piece == 0)
            break;
        tokens += next_chunk(s, &r->to_meet);
    }
    return tokens;
}

/* Of the next step, which takes *count chunks. */
static double pairs_of_step(const struct sim *s, struct rank *r, int64_t *count)
{
    *count = 0;
    if (r->step == 0)
        return own_pairs(s, r);
    if (r->step <= r->n_in)
        return (double)r->length * (double)meet(s, r, count);
    return (double)r->length * (double)r->length - own_pairs(s, r);
}

/* --- what can begin now */

static void start(struct sim *s, int d, enum doing doing, int rank, double seconds)
{
    s->device[d].doing = doing;
    s->device[d].with = rank;
    push(s, s->now + seconds, d);
}

/* Begins to send the rank's next chunk, if it is there and the next rank has a slot. */
static int send(struct sim *s, int r)
{
    struct rank *from = &s->rank[r], *to = &s->rank[after(s, r)];
    const struct sim_rank *link = &s->p->ranks[after(s, r)];
    int here = from->sending < from->n_own || from->sending - from->n_own < from->arrived;
    if (to->carrying || from->sending == from->n_out || !here ||
        from->sending - to->freed >= s->p->slots)
        return 0;
    double seconds = link->latency + link->token_seconds * (double)next_chunk(s, &from->to_send);
    from->sending++;
    to->carrying = 1;
    s->out[to->device].transfer += seconds;
    if (s->p->blocking) {
        start(s, from->device, SENDING, r, seconds);
        s->out[from->device].send += seconds;
    } else {
        push(s, s->now + seconds, s->p->n_devices + after(s, r));
    }
    return 1;
}

static int ready(const struct rank *r)
{
    return r->step < r->steps && (r->step == 0 || r->step > r->n_in || r->step <= r->arrived);
}

static void compute(struct sim *s, int d, int with)
{
    struct device *device = &s->device[d];
    struct rank *r = &s->rank[with];
    double pairs = pairs_of_step(s, r, &device->chunks);
    double seconds = s->p->call_seconds + (double)r->length * s->p->query_seconds +
                     pairs * s->p->pair_seconds[d];
    s->out[d].chunks += (uint64_t)device->chunks;
    if (!device->waited && device->idle_since == s->now)
        s->out[d].early += (uint64_t)device->chunks;
    r->left -= pairs;
    device->waited = 0;
    s->out[d].compute += seconds;
    start(s, d, COMPUTING, with, seconds);
}

/* Gives an idle device what there is to do: sending first, so that it is under way meanwhile. */
static void look(struct sim *s, int d)
{
    struct device *device = &s->device[d];
    int best = -1;
    if (device->doing != IDLE)
        return;
    for (int i = 0; s->p->blocking && i < device->n_ranks; i++) {
        if (send(s, device->rank[i])) {
            device->waited |= device->idle_since != s->now;
            return;
        }
    }
    for (int i = 0; i < device->n_ranks; i++) {
        int r = device->rank[i];
        if (ready(&s->rank[r]) && (best < 0 || s->rank[r].left > s->rank[best].left))
            best = r;
    }
    if (best >= 0)
        compute(s, d, best);
}

/* A slot was freed, or a chunk came to be there: the rank may send. */
static void may_send(struct sim *s, int r)
{
    if (s->p->blocking)
        look(s, s->rank[r].device);
    else
        send(s, r);
}

/* --- what has ended */

/* Frees the slots of chunks that were computed with and sent on, as far as they go on. */
static void free_slots(struct sim *s, int r)
{
    struct rank *rank = &s->rank[r];
    int64_t passed = rank->sent < rank->n_out ? rank->sent - rank->n_own : rank->n_in;
    int64_t through = smaller(rank->computed, passed);
    if (through <= rank->freed)
        return;
    rank->freed = through;
    may_send(s, before(s, r));
}

static void chunk_arrived(struct sim *s, int r)
{
    int from = before(s, r);
    s->rank[r].carrying = 0;
    s->rank[r].arrived++;
    s->rank[from].sent++;
    free_slots(s, from);
    may_send(s, from);
    may_send(s, r);
    look(s, s->rank[r].device);
}

static void step_ended(struct sim *s, int r, int64_t chunks)
{
    struct rank *rank = &s->rank[r];
    rank->computed += chunks;
    rank->step += chunks > 0 ? chunks : 1;
    free_slots(s, r);
}

static void device_ended(struct sim *s, int d)
{
    struct device *device = &s->device[d];
    enum doing doing = device->doing;
    device->doing = IDLE;
    device->idle_since = s->now;
    s->out[d].finish = s->now;
    if (doing == COMPUTING)
        step_ended(s, device->with, device->chunks);
    else
        chunk_arrived(s, after(s, device->with));
    look(s, d);
}

/* --- a run */

/* chunks: of all pieces before this one, and of all there are. */
static void count(struct sim *s, int r, int64_t chunks_before, int64_t all)
{
    struct rank *rank = &s->rank[r];
    int n = s->p->n_ranks, piece = before(s, r);
    if (s->p->causal) {
        rank->n_in = chunks_before;
        rank->n_out = r + 1 < n ? chunks_before + rank->n_chunks : 0;
    } else {
        rank->n_in = all - rank->n_chunks;
        rank->n_out = all - s->rank[after(s, r)].n_chunks;
    }
    rank->n_own = rank->n_out > 0 ? rank->n_chunks : 0;
    rank->steps = 1 + rank->n_in + (!s->p->causal && n > 1);
    rank->to_send = (struct walk){ r, rank->n_chunks };
    rank->to_meet = (struct walk){ piece, s->rank[piece].n_chunks };
}

static void set_up(struct sim *s)
{
    int64_t chunks = 0, tokens = 0, all_chunks = 0, all_tokens = 0;
    for (int r = 0; r < s->p->n_ranks; r++) {
        struct rank *rank = &s->rank[r];
        struct device *device = &s->device[s->p->ranks[r].device];
        rank->device = s->p->ranks[r].device;
        rank->length = s->p->ranks[r].tokens;
        rank->n_chunks = (rank->length + s->p->chunk - 1) / s->p->chunk;
        device->rank[device->n_ranks++] = r;
        all_chunks += rank->n_chunks;
        all_tokens += rank->length;
    }
    for (int r = 0; r < s->p->n_ranks; r++) {
        struct rank *rank = &s->rank[r];
        count(s, r, chunks, all_chunks);
        rank->left = s->p->causal ? own_pairs(s, rank) + (double)rank->length * (double)tokens
                                  : (double)rank->length * (double)all_tokens;
        chunks += rank->n_chunks;
        tokens += rank->length;
    }
}

static enum sim_status run(struct sim *s)
{
    for (int r = 0; r < s->p->n_ranks && !s->p->blocking; r++)
        send(s, r);
    for (int d = 0; d < s->p->n_devices; d++)
        look(s, d);
    while (s->n_events > 0) {
        struct event e = pop(s);
        s->now = e.time;
        s->done++;
        if (e.id < s->p->n_devices)
            device_ended(s, e.id);
        else
            chunk_arrived(s, e.id - s->p->n_devices);
    }
    for (int r = 0; r < s->p->n_ranks; r++) {
        if (s->rank[r].step < s->rank[r].steps || s->rank[r].sent < s->rank[r].n_out)
            return SIM_STALLED;
    }
    return SIM_OK;
}

enum sim_status sim_run(const struct sim_params *params, struct sim_device *devices, double *seconds,
                        uint64_t *events)
{
    struct sim s = { .p = params, .out = devices };
    enum sim_status status = SIM_MEMORY;
    s.rank = calloc((size_t)params->n_ranks, sizeof *s.rank);
    s.device = calloc((size_t)params->n_devices, sizeof *s.device);
    s.heap = calloc((size_t)params->n_ranks + (size_t)params->n_devices, sizeof *s.heap);
    if (s.rank != NULL && s.device != NULL && s.heap != NULL) {
        for (int d = 0; d < params->n_devices; d++)
            devices[d] = (struct sim_device){ 0 };
        set_up(&s);
        status = run(&s);
    }
    *seconds = s.now;
    if (events != NULL)
        *events = s.done;
    free(s.rank);
    free(s.device);
    free(s.heap);
    return status;
}

double sim_size(const struct sim_params *params)
{
    double meetings = 0, chunks = 0, all = 0, n = params->n_ranks;
    for (int r = 0; r < params->n_ranks; r++) {
        double own = (double)((params->ranks[r].tokens + params->chunk - 1) / params->chunk);
        meetings += chunks;
        chunks += own;
        all += own * (n - 1);
    }
    /* each meeting is a transfer and a step; own steps beside them */
    return params->causal ? n + 2 * meetings : n + 2 * all + (n > 1 ? n : 0);
}
