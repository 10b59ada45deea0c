/* src/ring_plan.c: how a sequence is cut over the devices, and in what order its chunks travel. */
#include <assert.h>

#include "src/ring.h"

int anl_ring_pieces(const struct anl_ring *ring, int causal)
{
    return causal ? 2 * ring->n : ring->n;
}

int anl_ring_device(const struct anl_ring *ring, int piece, int causal)
{
    return causal && piece >= ring->n ? 2 * ring->n - 1 - piece : piece;
}

/* Spans of devices 0 to i: their part of the weights, to the nearest. */
static int64_t up_to(const struct anl_ring *ring, int i, int64_t spans)
{
    double sum = 0, all = 0;

    for (int k = 0; k < ring->n; k++) {
        all += ring->weights[k];
        sum += k <= i ? ring->weights[k] : 0;
    }
    return i + 1 == ring->n ? spans : (int64_t)((double)spans * (sum / all) + 0.5);
}

/* Causal, the piece that lies s spans into the sequence and is w long costs w s + w^2 / 2; a device's
 * two, as far from the beginning as from the end, cost w times the sequence: so equal parts are equal
 * work, and an odd span goes to the low piece of every second device. */
void anl_ring_cut(const struct anl_ring *ring, int64_t tokens, int causal, struct anl_ring_piece *pieces)
{
    int64_t spans = (tokens + RING_SPAN - 1) / RING_SPAN, at = 0, before = 0;
    int n = anl_ring_pieces(ring, causal);

    for (int i = 0; i < ring->n; i++) {
        int64_t end = up_to(ring, i, spans), width = end - before;
        int64_t low = !causal ? width : ring->n > 1 ? (width + (i & 1)) / 2 : 0;
        pieces[i].length = low;
        if (causal)
            pieces[n - 1 - i].length = width - low;
        before = end;
    }
    for (int i = 0; i < n; i++) {
        int64_t end = at + pieces[i].length * RING_SPAN;
        end = end < tokens ? end : tokens;
        pieces[i] = (struct anl_ring_piece){ at, end - at, anl_ring_device(ring, i, causal) };
        at = end;
    }
}

int anl_ring_carried(const struct anl_ring_job *job, int rank)
{
    int ahead = 0; /* ranks from this one to the next with queries */

    if (job->p.causal) {
        for (int r = rank; r < job->n; r++)
            if (job->rank[r].queries)
                return rank;
        return 0;
    }
    while (ahead < job->n && !job->rank[(rank + ahead) % job->n].queries)
        ahead++;
    return ahead < job->n ? job->n - 1 - ahead : 0;
}

static int64_t chunks_of(const struct anl_ring_job *job, int rank)
{
    return (job->rank[rank].length + job->chunk - 1) / job->chunk;
}

static int before(const struct anl_ring_job *job, int rank)
{
    return rank ? rank - 1 : job->n - 1;
}

uint64_t anl_ring_chunks(const struct anl_ring_job *job, int first, int pieces)
{
    uint64_t n = 0;

    for (; pieces > 0; pieces--, first = before(job, first))
        n += (uint64_t)chunks_of(job, first);
    return n;
}

void anl_ring_walk_begin(struct anl_ring_walk *walk, const struct anl_ring_job *job, int first, int pieces)
{
    *walk = (struct anl_ring_walk){ job, first, pieces, pieces ? chunks_of(job, first) : 0 };
}

int anl_ring_walk_next(struct anl_ring_walk *walk, int64_t *start, int64_t *keys)
{
    const struct anl_ring_job *job = walk->job;
    const struct anl_ring_rank *r;
    int64_t end;

    assert(walk->pieces > 0); /* I1 */
    if (!walk->left) {
        walk->rank = before(job, walk->rank);
        walk->left = chunks_of(job, walk->rank);
        walk->pieces--;
    }
    r = &job->rank[walk->rank];
    end = walk->left * job->chunk < r->length ? walk->left * job->chunk : r->length;
    walk->left--;
    *start = r->start + walk->left * job->chunk;
    *keys = r->start + end - *start;
    return walk->rank;
}
