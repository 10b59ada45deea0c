/* src/ring_plan.c: how a sequence is cut over the devices, and in what order its chunks travel. */
#include <assert.h>

#include "src/ring.h"
#include "src/ring_cut.h"

int anl_ring_pieces(const struct anl_ring *ring, int causal)
{
    return causal ? 2 * ring->n : ring->n;
}

int anl_ring_device(const struct anl_ring *ring, int piece, int causal)
{
    return causal && piece >= ring->n ? 2 * ring->n - 1 - piece : piece;
}

void anl_ring_cut(const struct anl_ring *ring, int64_t tokens, int causal, struct anl_ring_piece *pieces)
{
    int64_t width[ANL_RING_MAX_DEVICES], at = 0;
    int n = anl_ring_pieces(ring, causal);

    ring_share_spans(ring->weights, ring->n, (tokens + RING_SPAN - 1) / RING_SPAN, width);
    for (int i = 0; i < ring->n; i++) {
        pieces[i].length = causal ? ring_low_piece(ring->n, i, width[i]) : width[i];
        if (causal)
            pieces[n - 1 - i].length = width[i] - pieces[i].length;
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
