/*
 * GGUF files: the header, from the magic to the tensor table. All that a header claims is checked
 * here, so that the getters and the reading of tensors need not check it again.
 *
 * A cursor walks the header and makes each range present before it is looked at. Positions are
 * kept as offsets, not pointers, because the header's copy moves while it grows.
 */
#include "checked.h"
#include "gguf_impl.h"
#include "index_sort.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    VERSION = 3,
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8,
    MIN_KV_BYTES = 14,    /* key length, a key of 1 byte, type, a value of 1 byte */
    MIN_TENSOR_BYTES = 33 /* name length, a name of 1 byte, n_dims, 1 dim, type, offset */
};

struct cursor {
    struct gguf *g;
    struct gguf_error *err;
    uint64_t pos;
    const char *part; /* "key" or "tensor", NULL before them */
    uint64_t index;   /* which key or tensor */
    uint64_t name;    /* its name, once known: offset and length */
    uint64_t name_len;
};

/* Fails with the entry that the cursor is in before the text. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static int
fail(struct cursor *c, const char *format, ...)
{
    char text[160];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (c->part == NULL)
        gguf_fail(c->err, "%s", text);
    else if (c->name_len == 0)
        gguf_fail(c->err, "%s %llu: %s", c->part, (unsigned long long)c->index, text);
    else
        gguf_fail(c->err, "%s %s: %s", c->part,
                  gguf_quote((const char *)c->g->base + c->name, (size_t)c->name_len).text, text);
    return GGUF_FAIL;
}

/* Makes n bytes present and steps over them; *at is where they begin. */
static int take(struct cursor *c, const char *field, uint64_t n, uint64_t *at)
{
    uint64_t end;

    *at = c->pos;
    if (!checked_add(c->pos, n, &end) || end > c->g->file_size)
        return fail(c, "%s of %llu bytes goes past the end of the file (%llu bytes)", field,
                    (unsigned long long)n, (unsigned long long)c->g->file_size);
    if (end > GGUF_MAX_HEADER)
        return fail(c, "%s ends past the longest header (%d bytes)", field, GGUF_MAX_HEADER);
    if (end > c->g->have && gguf_need(c->g, end, c->err) != GGUF_OK)
        return GGUF_FAIL;
    c->pos = end;
    return GGUF_OK;
}

static int take_u32(struct cursor *c, const char *field, uint32_t *value)
{
    uint64_t at = 0;

    if (take(c, field, 4, &at) != GGUF_OK)
        return GGUF_FAIL;
    *value = gguf_le32(c->g->base + at);
    return GGUF_OK;
}

static int take_u64(struct cursor *c, const char *field, uint64_t *value)
{
    uint64_t at = 0;

    if (take(c, field, 8, &at) != GGUF_OK)
        return GGUF_FAIL;
    *value = gguf_le64(c->g->base + at);
    return GGUF_OK;
}

static int take_string(struct cursor *c, const char *field, uint64_t cap, uint64_t *at, uint64_t *len)
{
    if (take_u64(c, field, len) != GGUF_OK)
        return GGUF_FAIL;
    if (*len > cap)
        return fail(c, "%s has length %llu, more than %llu", field, (unsigned long long)*len,
                    (unsigned long long)cap);
    return take(c, field, *len, at);
}

/* The name of a key or a tensor: not empty, no NUL. From here on errors name the entry by it. */
static int take_name(struct cursor *c)
{
    uint64_t at = 0;
    uint64_t len;

    c->name_len = 0;
    if (take_string(c, "name", GGUF_MAX_NAME, &at, &len) != GGUF_OK)
        return GGUF_FAIL;
    if (len == 0)
        return fail(c, "name is empty");
    c->name = at;
    c->name_len = len;
    if (memchr(c->g->base + at, '\0', (size_t)len) != NULL)
        return fail(c, "name holds a NUL byte");
    return GGUF_OK;
}

static int parse_array(struct cursor *c, struct gguf_kv *kv)
{
    uint32_t element;
    uint64_t count;
    uint64_t bytes;
    uint64_t at = 0;

    if (take_u32(c, "element type", &element) != GGUF_OK ||
        take_u64(c, "element count", &count) != GGUF_OK)
        return GGUF_FAIL;
    if (count > GGUF_MAX_ARRAY)
        return fail(c, "element count %llu is more than %d", (unsigned long long)count, GGUF_MAX_ARRAY);
    if (element == GGUF_TYPE_ARRAY)
        return fail(c, "element type is array: nested arrays are not supported");
    kv->element = (uint8_t)element;
    kv->count = (uint32_t)count;
    kv->value = (uint32_t)c->pos;
    if (element == GGUF_TYPE_STRING) {
        for (uint64_t i = 0; i < count; i++) {
            if (take_string(c, "array of strings", GGUF_MAX_STRING, &at, &bytes) != GGUF_OK)
                return GGUF_FAIL;
        }
        return GGUF_OK;
    }
    if (gguf_type_size(element) == 0)
        return fail(c, "element type %u is unknown", (unsigned)element);
    if (!checked_mul(count, gguf_type_size(element), &bytes))
        return fail(c, "element count %llu overflows", (unsigned long long)count);
    return take(c, "array", bytes, &at);
}

static int parse_value(struct cursor *c, struct gguf_kv *kv)
{
    uint32_t type;
    uint64_t at = 0;
    uint64_t len;

    if (take_u32(c, "value type", &type) != GGUF_OK)
        return GGUF_FAIL;
    if (type > GGUF_TYPE_F64)
        return fail(c, "value type %u is unknown", (unsigned)type);
    kv->type = (uint8_t)type;
    kv->element = 0;
    if (type == GGUF_TYPE_ARRAY)
        return parse_array(c, kv);
    if (type == GGUF_TYPE_STRING) {
        if (take_string(c, "string", GGUF_MAX_STRING, &at, &len) != GGUF_OK)
            return GGUF_FAIL;
        kv->value = (uint32_t)at;
        kv->count = (uint32_t)len;
        return GGUF_OK;
    }
    if (take(c, "value", gguf_type_size(type), &at) != GGUF_OK)
        return GGUF_FAIL;
    kv->value = (uint32_t)at;
    kv->count = 1;
    if (type == GGUF_TYPE_BOOL && c->g->base[at] > 1)
        return fail(c, "bool is %u, not 0 or 1", (unsigned)c->g->base[at]);
    return GGUF_OK;
}

static int key_order(const void *context, uint32_t a, uint32_t b)
{
    const struct gguf *g = context;
    const struct gguf_kv *x = &g->kv[a];
    const struct gguf_kv *y = &g->kv[b];

    return gguf_name_order(g->base + x->key, x->key_len, g->base + y->key, y->key_len);
}

static int tensor_order(const void *context, uint32_t a, uint32_t b)
{
    const struct gguf *g = context;
    const struct gguf_tensor *x = &g->tensor[a];
    const struct gguf_tensor *y = &g->tensor[b];

    return gguf_name_order(x->name, x->name_len, y->name, y->name_len);
}

/* Makes the sorted index of n entries; *twice is an entry with the name of another, or n. */
static int make_index(struct cursor *c, size_t n, index_order *order, uint32_t **out, size_t *twice)
{
    uint32_t *index = malloc((n + 1) * sizeof *index);

    *twice = n;
    *out = index;
    if (index == NULL)
        return gguf_fail(c->err, "no memory for %zu names", n);
    for (size_t i = 0; i < n; i++)
        index[i] = (uint32_t)i;
    index_sort(index, n, order, c->g);
    for (size_t i = 1; i < n; i++) {
        if (order(c->g, index[i - 1], index[i]) == 0)
            *twice = index[i];
    }
    return GGUF_OK;
}

static int parse_keys(struct cursor *c, uint64_t count)
{
    struct gguf *g = c->g;
    size_t twice = 0;

    g->kv = malloc((size_t)(count + 1) * sizeof *g->kv);
    if (g->kv == NULL)
        return gguf_fail(c->err, "no memory for %llu keys", (unsigned long long)count);
    c->part = "key";
    for (uint64_t i = 0; i < count; i++) {
        struct gguf_kv *kv = &g->kv[i];
        c->index = i;
        if (take_name(c) != GGUF_OK)
            return GGUF_FAIL;
        kv->key = (uint32_t)c->name;
        kv->key_len = (uint32_t)c->name_len;
        if (parse_value(c, kv) != GGUF_OK)
            return GGUF_FAIL;
    }
    if (make_index(c, (size_t)count, key_order, &g->kv_by_name, &twice) != GGUF_OK)
        return GGUF_FAIL;
    if (twice < count) {
        c->name = g->kv[twice].key;
        c->name_len = g->kv[twice].key_len;
        return fail(c, "the key is there twice");
    }
    g->n_kv = (size_t)count;
    return GGUF_OK;
}

static int find_alignment(struct cursor *c, uint64_t *alignment)
{
    uint32_t value = DEFAULT_ALIGNMENT;

    if (gguf_get_u32(c->g, "general.alignment", &value, c->err) == GGUF_FAIL)
        return GGUF_FAIL;
    if (value < MIN_ALIGNMENT || value > GGUF_MAX_ALIGNMENT || (value & (value - 1)) != 0)
        return gguf_fail(c->err, "key 'general.alignment' is %u, not a power of two from %d to %d",
                         (unsigned)value, MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    *alignment = value;
    return GGUF_OK;
}

/* A key of a split model: u16 in the file; *value is left alone where it is missing. */
static int get_split(struct cursor *c, const char *key, unsigned *value)
{
    const struct gguf_kv *kv = gguf_find_kv(c->g, key, strlen(key));

    if (kv == NULL)
        return GGUF_OK;
    if (kv->type != GGUF_TYPE_U16)
        return gguf_fail(c->err, "key '%s' is of type %s, not u16", key, gguf_type_name(kv->type));
    *value = (unsigned)c->g->base[kv->value] | (unsigned)c->g->base[kv->value + 1] << 8;
    return GGUF_OK;
}

/* A file that is one of several parts lacks tensors: it is refused, even the first. */
static int check_split(struct cursor *c, uint64_t n_tensors)
{
    unsigned count = 1;
    unsigned number = 0;
    int32_t tensors = (int32_t)n_tensors;

    if (get_split(c, "split.count", &count) != GGUF_OK ||
        get_split(c, "split.no", &number) != GGUF_OK ||
        gguf_get_i32(c->g, "split.tensors.count", &tensors, c->err) == GGUF_FAIL)
        return GGUF_FAIL;
    if (count > 1)
        return gguf_fail(c->err,
                         "key 'split.count' is %u: a model in several files is not "
                         "supported; join its parts first",
                         count);
    if (number > 0)
        return gguf_fail(c->err, "key 'split.no' is %u in a model of one part", number);
    if (tensors < 0 || (uint64_t)tensors != n_tensors)
        return gguf_fail(c->err, "key 'split.tensors.count' is %ld, but the file has %llu tensors",
                         (long)tensors, (unsigned long long)n_tensors);
    return GGUF_OK;
}

/* Elements and bytes of a block of a tensor type; false where the type is unknown. */
static bool block_of(uint32_t type, uint64_t *elements, uint64_t *bytes)
{
    switch (type) {
    case GGUF_F32:
        *elements = 1;
        *bytes = 4;
        return true;
    case GGUF_F16:
        *elements = 1;
        *bytes = 2;
        return true;
    case GGUF_Q4_0:
        *elements = 32;
        *bytes = 18;
        return true;
    case GGUF_Q4_1:
        *elements = 32;
        *bytes = 20;
        return true;
    case GGUF_Q8_0:
        *elements = 32;
        *bytes = 34;
        return true;
    default:
        return false;
    }
}

static int parse_dims(struct cursor *c, struct gguf_tensor *t)
{
    uint64_t elements = 1;

    if (take_u32(c, "n_dims", &t->n_dims) != GGUF_OK)
        return GGUF_FAIL;
    if (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS)
        return fail(c, "n_dims is %u, not 1 to %d", (unsigned)t->n_dims, GGUF_MAX_DIMS);
    for (uint32_t d = 0; d < GGUF_MAX_DIMS; d++) {
        t->dim[d] = 1;
        if (d < t->n_dims && take_u64(c, "dimension", &t->dim[d]) != GGUF_OK)
            return GGUF_FAIL;
        if (t->dim[d] == 0)
            return fail(c, "dimension %u is 0", (unsigned)d);
        if (!checked_mul(elements, t->dim[d], &elements))
            return fail(c, "dimension %u is %llu: the elements overflow", (unsigned)d,
                        (unsigned long long)t->dim[d]);
    }
    return GGUF_OK;
}

/* One entry of the table. t->offset stays relative to the data and t->name waits for the end. */
static int parse_tensor(struct cursor *c, struct gguf_tensor *t)
{
    uint64_t block_elements;
    uint64_t block_bytes;
    uint32_t type;

    if (take_name(c) != GGUF_OK || parse_dims(c, t) != GGUF_OK ||
        take_u32(c, "type", &type) != GGUF_OK || take_u64(c, "offset", &t->offset) != GGUF_OK)
        return GGUF_FAIL;
    t->name_len = (uint32_t)c->name_len;
    if (!block_of(type, &block_elements, &block_bytes))
        return fail(c, "type %u is not one of F32, F16, Q4_0, Q4_1, Q8_0", (unsigned)type);
    t->dtype = (enum gguf_dtype)type;
    if (t->dim[0] % block_elements != 0)
        return fail(c, "dimension 0 is %llu, not whole %s blocks of %llu",
                    (unsigned long long)t->dim[0], gguf_dtype_name(t->dtype),
                    (unsigned long long)block_elements);
    if (!checked_mul(t->dim[0] / block_elements, block_bytes, &t->nbytes) ||
        !checked_mul(t->nbytes, gguf_n_rows(t), &t->nbytes))
        return fail(c, "its size in bytes overflows");
    return GGUF_OK;
}

/* Makes the offset absolute. *end is where the tensor before ends, then where this one does. */
static int place_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t data, uint64_t alignment,
                        uint64_t *end)
{
    uint64_t relative = t->offset;
    uint64_t own_end;

    if (relative % alignment != 0)
        return fail(c, "offset %llu is not a multiple of the alignment %llu",
                    (unsigned long long)relative, (unsigned long long)alignment);
    if (!checked_add(data, relative, &t->offset) || !checked_add(t->offset, t->nbytes, &own_end) ||
        own_end > c->g->file_size)
        return fail(c, "offset %llu and size %llu go past the end of the file (%llu bytes)",
                    (unsigned long long)relative, (unsigned long long)t->nbytes,
                    (unsigned long long)c->g->file_size);
    if (t->offset < *end)
        return fail(c, "offset %llu is inside or before the tensor ahead of it",
                    (unsigned long long)relative);
    *end = own_end;
    return GGUF_OK;
}

/* The names lie in the header in the order of the table; this walks them with the fixed parts. */
static int finish_tensors(struct cursor *c, uint64_t table, uint64_t alignment)
{
    struct gguf *g = c->g;
    uint64_t at = table;
    uint64_t data;
    uint64_t end;

    if (!checked_align(c->pos, alignment, &data))
        return gguf_fail(c->err, "the start of the tensor data overflows");
    gguf_trim(g, (size_t)c->pos);
    end = data;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensor[i];
        t->name = (const char *)g->base + at + 8;
        c->name = at + 8;
        c->name_len = t->name_len;
        at += 8 + t->name_len + 4 + 8 * (uint64_t)t->n_dims + 4 + 8;
        if (place_tensor(c, t, data, alignment, &end) != GGUF_OK)
            return GGUF_FAIL;
    }
    return GGUF_OK;
}

static int parse_tensors(struct cursor *c, uint64_t count, uint64_t alignment)
{
    struct gguf *g = c->g;
    uint64_t table = c->pos;
    size_t twice = 0;

    g->tensor = malloc((size_t)(count + 1) * sizeof *g->tensor);
    if (g->tensor == NULL)
        return gguf_fail(c->err, "no memory for %llu tensors", (unsigned long long)count);
    c->part = "tensor";
    for (uint64_t i = 0; i < count; i++) {
        c->index = i;
        if (parse_tensor(c, &g->tensor[i]) != GGUF_OK)
            return GGUF_FAIL;
    }
    g->n_tensors = (size_t)count;
    if (finish_tensors(c, table, alignment) != GGUF_OK ||
        make_index(c, (size_t)count, tensor_order, &g->tensor_by_name, &twice) != GGUF_OK)
        return GGUF_FAIL;
    if (twice < count)
        return gguf_fail(c->err, "tensor %s: the name is there twice",
                         gguf_quote(g->tensor[twice].name, g->tensor[twice].name_len).text);
    return GGUF_OK;
}

static int check_count(struct cursor *c, const char *field, uint64_t count, uint64_t most,
                       uint64_t entry_bytes)
{
    if (count > most)
        return gguf_fail(c->err, "%s is %llu, more than %llu", field, (unsigned long long)count,
                         (unsigned long long)most);
    /* So that a short file cannot ask for the memory of a long one. */
    if (count > c->g->file_size / entry_bytes)
        return gguf_fail(c->err, "%s is %llu, more than a file of %llu bytes can hold", field,
                         (unsigned long long)count, (unsigned long long)c->g->file_size);
    return GGUF_OK;
}

static int parse_preamble(struct cursor *c, uint64_t *n_tensors, uint64_t *n_kv)
{
    uint64_t at = 0;
    uint32_t version;

    if (take(c, "magic", 4, &at) != GGUF_OK)
        return GGUF_FAIL;
    if (memcmp(c->g->base + at, "GGUF", 4) != 0)
        return gguf_fail(c->err, "magic is %s, not 'GGUF': not a GGUF file",
                         gguf_quote((const char *)c->g->base + at, 4).text);
    if (take_u32(c, "version", &version) != GGUF_OK)
        return GGUF_FAIL;
    if (version == (uint32_t)VERSION << 24)
        return gguf_fail(c->err, "version is %d in big-endian order, which is not supported", VERSION);
    if (version != VERSION)
        return gguf_fail(c->err, "version is %u, not %d", (unsigned)version, VERSION);
    if (take_u64(c, "tensor count", n_tensors) != GGUF_OK ||
        take_u64(c, "key count", n_kv) != GGUF_OK ||
        check_count(c, "tensor count", *n_tensors, GGUF_MAX_TENSORS, MIN_TENSOR_BYTES) != GGUF_OK)
        return GGUF_FAIL;
    return check_count(c, "key count", *n_kv, GGUF_MAX_KEYS, MIN_KV_BYTES);
}

int gguf_parse(struct gguf *g, struct gguf_error *err)
{
    struct cursor c = { .g = g, .err = err };
    uint64_t n_tensors = 0;
    uint64_t n_kv = 0;
    uint64_t alignment = DEFAULT_ALIGNMENT;

    if (parse_preamble(&c, &n_tensors, &n_kv) != GGUF_OK || parse_keys(&c, n_kv) != GGUF_OK ||
        find_alignment(&c, &alignment) != GGUF_OK || check_split(&c, n_tensors) != GGUF_OK)
        return GGUF_FAIL;
    return parse_tensors(&c, n_tensors, alignment);
}
