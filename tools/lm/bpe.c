/*
 * Byte-pair encoding; see bpe.h.
 *
 * A word is a linked list of symbols, at first one for each byte, and a heap of the pairs of
 * neighbours that can merge, ordered by rank and then by place. A merged pair leaves its old
 * neighbours' candidates in the heap: they are known as stale by the ids, which have changed.
 */
#include "bpe.h"

#include "gguf_impl.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char merges_key[] = "tokenizer.ggml.merges";

enum { NO_SYMBOL = -1 };

struct bpe_symbol {
    int32_t prev; /* NO_SYMBOL at either end */
    int32_t next;
    int32_t id;    /* VOCAB_NONE: a byte without a token */
    int32_t alive; /* 0: merged into the symbol on its left */
};

struct bpe_candidate {
    uint32_t rank;
    int32_t left;
};

/* The slot that holds this pair, or the empty one where it belongs. */
static uint32_t find_slot(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint32_t pair[2] = { left, right };
    uint32_t at = (uint32_t)XXH3_64bits_withSeed(pair, sizeof pair, b->seed) & b->mask;

    while (b->slot[at] != 0) {
        const struct bpe_merge *m = &b->merge[b->slot[at] - 1];
        if (m->left == left && m->right == right)
            break;
        at = (at + 1) & b->mask;
    }
    return at;
}

/* Finds the ids of a merge "left right". joined has room for the text without its space. */
static int read_merge(struct bpe_merge *m, const struct vocab *v, struct gguf_string s, char *joined,
                      struct gguf_error *err)
{
    const char *space = s.len > 1 ? memchr(s.bytes + 1, ' ', s.len - 1) : NULL;
    size_t left_len;
    size_t right_len;
    int32_t left;
    int32_t right;
    int32_t merged;

    if (space == NULL)
        return gguf_fail(err, "key '%s': %s is not two tokens", merges_key,
                         gguf_quote(s.bytes, s.len).text);
    left_len = (size_t)(space - s.bytes);
    right_len = s.len - left_len - 1;
    memcpy(joined, s.bytes, left_len);
    memcpy(joined + left_len, space + 1, right_len);
    left = vocab_find(v, s.bytes, left_len);
    right = vocab_find(v, space + 1, right_len);
    merged = vocab_find(v, joined, left_len + right_len);
    if (left < 0 || right < 0 || merged < 0)
        return gguf_fail(err, "key '%s': %s %s is not in the vocabulary", merges_key,
                         left < 0    ? "the left of"
                         : right < 0 ? "the right of"
                                     : "the result of",
                         gguf_quote(s.bytes, s.len).text);
    m->left = (uint32_t)left;
    m->right = (uint32_t)right;
    m->merged = (uint32_t)merged;
    return GGUF_OK;
}

static size_t longest(struct gguf_strings strings)
{
    size_t most = 0;

    for (uint64_t i = 0; i < strings.count; i++) {
        struct gguf_string s = gguf_strings_next(&strings);
        if (s.len > most)
            most = s.len;
    }
    return most;
}

int bpe_init(struct bpe *b, const struct vocab *v, const struct gguf *g, struct gguf_error *err)
{
    struct gguf_strings merges;
    char *joined = NULL;
    int rc = GGUF_FAIL;

    memset(b, 0, sizeof *b);
    if (gguf_get_strings(g, merges_key, &merges, err) != GGUF_OK)
        return GGUF_FAIL;
    b->n = (uint32_t)merges.count;
    b->seed = v->seed;
    b->mask = vocab_table_size(b->n) - 1;
    b->merge = malloc(((size_t)b->n + 1) * sizeof *b->merge);
    b->slot = calloc((size_t)b->mask + 1, sizeof *b->slot);
    joined = malloc(longest(merges) + 1);
    if (b->merge == NULL || b->slot == NULL || joined == NULL) {
        gguf_fail(err, "no memory for %u merges", (unsigned)b->n);
        goto done;
    }
    for (uint32_t rank = 0; rank < b->n; rank++) {
        struct bpe_merge *m = &b->merge[rank];
        uint32_t at;
        if (read_merge(m, v, gguf_strings_next(&merges), joined, err) != GGUF_OK)
            goto done;
        at = find_slot(b, m->left, m->right);
        if (b->slot[at] == 0)
            b->slot[at] = rank + 1;
    }
    rc = GGUF_OK;
done:
    free(joined);
    return rc;
}

void bpe_free(struct bpe *b)
{
    free(b->merge);
    free(b->slot);
    memset(b, 0, sizeof *b);
}

static bool before(struct bpe_candidate a, struct bpe_candidate b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.left < b.left;
}

static void heap_push(struct bpe_candidate *heap, size_t *n, struct bpe_candidate c)
{
    size_t i = (*n)++;

    for (; i > 0 && before(c, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = c;
}

static struct bpe_candidate heap_pop(struct bpe_candidate *heap, size_t *n)
{
    struct bpe_candidate top = heap[0];
    struct bpe_candidate last = heap[--*n];
    size_t i = 0;

    for (size_t child = 1; child < *n; child = 2 * i + 1) {
        if (child + 1 < *n && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], last))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

/* Puts the pair that begins at `left` into the heap if it can merge. */
static void propose(const struct bpe *b, struct bpe_work *work, size_t *n_heap, int32_t left)
{
    struct bpe_candidate c = { 0, left };
    const struct bpe_symbol *l = &work->symbol[left];
    int32_t right_id;
    uint32_t at;

    if (l->next == NO_SYMBOL)
        return;
    right_id = work->symbol[l->next].id;
    if (l->id == VOCAB_NONE || right_id == VOCAB_NONE)
        return;
    at = find_slot(b, (uint32_t)l->id, (uint32_t)right_id);
    if (b->slot[at] == 0)
        return;
    c.rank = b->slot[at] - 1;
    heap_push(work->heap, n_heap, c);
}

static bool is_stale(const struct bpe_work *work, const struct bpe_merge *m, int32_t left)
{
    const struct bpe_symbol *l = &work->symbol[left];

    return !l->alive || l->next == NO_SYMBOL || l->id != (int32_t)m->left ||
           work->symbol[l->next].id != (int32_t)m->right;
}

static void merge_all(const struct bpe *b, struct bpe_work *work, size_t n)
{
    size_t n_heap = 0;

    for (size_t i = 0; i + 1 < n; i++)
        propose(b, work, &n_heap, (int32_t)i);
    while (n_heap > 0) {
        struct bpe_candidate c = heap_pop(work->heap, &n_heap);
        const struct bpe_merge *m = &b->merge[c.rank];
        struct bpe_symbol *l = &work->symbol[c.left];
        if (is_stale(work, m, c.left))
            continue;
        work->symbol[l->next].alive = 0;
        l->id = (int32_t)m->merged;
        l->next = work->symbol[l->next].next;
        if (l->next != NO_SYMBOL)
            work->symbol[l->next].prev = c.left;
        if (l->prev != NO_SYMBOL)
            propose(b, work, &n_heap, l->prev);
        propose(b, work, &n_heap, c.left);
    }
}

/* The heap begins with n - 1 candidates at most, and each of n - 1 merges at most adds one. */
static int reserve(struct bpe_work *work, size_t n, struct gguf_error *err)
{
    size_t capacity = n < 256 ? 256 : n;

    if (n <= work->capacity)
        return GGUF_OK;
    bpe_work_free(work);
    work->symbol = calloc(capacity, sizeof *work->symbol);
    work->heap = calloc(capacity, 2 * sizeof *work->heap);
    if (work->symbol == NULL || work->heap == NULL)
        return gguf_fail(err, "no memory for a word of %zu bytes", n);
    work->capacity = capacity;
    return GGUF_OK;
}

int bpe_word(const struct bpe *b, const struct vocab *v, struct bpe_work *work, const uint8_t *bytes,
             size_t n, bpe_emit *emit, void *context, struct gguf_error *err)
{
    if (reserve(work, n, err) != GGUF_OK)
        return GGUF_FAIL;
    for (size_t i = 0; i < n; i++) {
        struct bpe_symbol *s = &work->symbol[i];
        s->prev = (int32_t)i - 1;
        s->next = i + 1 < n ? (int32_t)(i + 1) : NO_SYMBOL;
        s->id = v->byte[bytes[i]];
        s->alive = 1;
    }
    merge_all(b, work, n);
    for (int32_t i = 0; i != NO_SYMBOL; i = work->symbol[i].next) {
        int rc = emit(context, work->symbol[i].id);
        if (rc != 0)
            return rc;
    }
    return GGUF_OK;
}

void bpe_work_free(struct bpe_work *work)
{
    free(work->symbol);
    free(work->heap);
    memset(work, 0, sizeof *work);
}
