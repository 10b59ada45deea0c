/* GGUF files: the names of types, the typed getters, and the lookup of keys and tensors by name. */
#include "gguf_impl.h"

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [GGUF_TYPE_U8] = { "u8", 1 },         [GGUF_TYPE_I8] = { "i8", 1 },
    [GGUF_TYPE_U16] = { "u16", 2 },       [GGUF_TYPE_I16] = { "i16", 2 },
    [GGUF_TYPE_U32] = { "u32", 4 },       [GGUF_TYPE_I32] = { "i32", 4 },
    [GGUF_TYPE_F32] = { "f32", 4 },       [GGUF_TYPE_BOOL] = { "bool", 1 },
    [GGUF_TYPE_STRING] = { "string", 0 }, [GGUF_TYPE_ARRAY] = { "array", 0 },
    [GGUF_TYPE_U64] = { "u64", 8 },       [GGUF_TYPE_I64] = { "i64", 8 },
    [GGUF_TYPE_F64] = { "f64", 8 },
};

const char *gguf_type_name(uint32_t type)
{
    return type < sizeof types / sizeof types[0] ? types[type].name : "unknown";
}

size_t gguf_type_size(uint32_t type)
{
    return type < sizeof types / sizeof types[0] ? types[type].size : 0;
}

const char *gguf_dtype_name(enum gguf_dtype dtype)
{
    switch (dtype) {
    case GGUF_F32:
        return "F32";
    case GGUF_F16:
        return "F16";
    case GGUF_Q4_0:
        return "Q4_0";
    case GGUF_Q4_1:
        return "Q4_1";
    case GGUF_Q8_0:
        return "Q8_0";
    }
    return "unknown";
}

const struct gguf_kv *gguf_find_kv(const struct gguf *g, const char *key, size_t len)
{
    size_t low = 0;
    size_t high = g->n_kv;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct gguf_kv *kv = &g->kv[g->kv_by_name[middle]];
        int order = gguf_name_order(key, len, g->base + kv->key, kv->key_len);
        if (order == 0)
            return kv;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Finds key and checks its type, and the elements' type where that is an array. */
static int get(const struct gguf *g, const char *key, enum gguf_type type, enum gguf_type element,
               const struct gguf_kv **out, struct gguf_error *err)
{
    const struct gguf_kv *kv = gguf_find_kv(g, key, strlen(key));
    bool array = type == GGUF_TYPE_ARRAY;

    if (kv == NULL) {
        gguf_fail(err, "key '%s' is missing", key);
        return GGUF_ABSENT;
    }
    if (kv->type != type || (array && kv->element != element)) {
        bool is_array = kv->type == GGUF_TYPE_ARRAY;
        return gguf_fail(err, "key '%s' is of type %s%s, not %s%s", key, is_array ? "array of " : "",
                         gguf_type_name(is_array ? kv->element : kv->type), array ? "array of " : "",
                         gguf_type_name(array ? element : type));
    }
    *out = kv;
    return GGUF_OK;
}

int gguf_get_u32(const struct gguf *g, const char *key, uint32_t *value, struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_U32, 0, &kv, err);

    if (rc == GGUF_OK)
        *value = gguf_le32(g->base + kv->value);
    return rc;
}

int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *value, struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_U64, 0, &kv, err);

    if (rc == GGUF_OK)
        *value = gguf_le64(g->base + kv->value);
    return rc;
}

static int32_t i32_from(const uint8_t *p)
{
    uint32_t bits = gguf_le32(p);
    int32_t value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static float f32_from(const uint8_t *p)
{
    uint32_t bits = gguf_le32(p);
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

int gguf_get_i32(const struct gguf *g, const char *key, int32_t *value, struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_I32, 0, &kv, err);

    if (rc == GGUF_OK)
        *value = i32_from(g->base + kv->value);
    return rc;
}

int gguf_get_f32(const struct gguf *g, const char *key, float *value, struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_F32, 0, &kv, err);

    if (rc == GGUF_OK)
        *value = f32_from(g->base + kv->value);
    return rc;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *value, struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_BOOL, 0, &kv, err);

    if (rc == GGUF_OK)
        *value = g->base[kv->value] != 0;
    return rc;
}

int gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *value,
                    struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_STRING, 0, &kv, err);

    if (rc == GGUF_OK) {
        value->bytes = (const char *)g->base + kv->value;
        value->len = kv->count;
    }
    return rc;
}

int gguf_get_strings(const struct gguf *g, const char *key, struct gguf_strings *value,
                     struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_ARRAY, GGUF_TYPE_STRING, &kv, err);

    if (rc == GGUF_OK) {
        value->count = kv->count;
        value->at = g->base + kv->value;
    }
    return rc;
}

static int get_numbers(const struct gguf *g, const char *key, enum gguf_type element,
                       struct gguf_numbers *value, struct gguf_error *err)
{
    const struct gguf_kv *kv = NULL;
    int rc = get(g, key, GGUF_TYPE_ARRAY, element, &kv, err);

    if (rc == GGUF_OK) {
        value->count = kv->count;
        value->at = g->base + kv->value;
    }
    return rc;
}

int gguf_get_i32s(const struct gguf *g, const char *key, struct gguf_numbers *value,
                  struct gguf_error *err)
{
    return get_numbers(g, key, GGUF_TYPE_I32, value, err);
}

int gguf_get_f32s(const struct gguf *g, const char *key, struct gguf_numbers *value,
                  struct gguf_error *err)
{
    return get_numbers(g, key, GGUF_TYPE_F32, value, err);
}

bool gguf_string_is(struct gguf_string s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.bytes, text, s.len) == 0;
}

struct gguf_string gguf_strings_next(struct gguf_strings *strings)
{
    struct gguf_string s;

    /* The parser has walked the array: the length is below its cap and the bytes are there. */
    s.len = (size_t)gguf_le64(strings->at);
    s.bytes = (const char *)strings->at + 8;
    strings->at += 8 + s.len;
    return s;
}

int32_t gguf_i32_at(const struct gguf_numbers *numbers, uint64_t index)
{
    return i32_from(numbers->at + 4 * index);
}

float gguf_f32_at(const struct gguf_numbers *numbers, uint64_t index)
{
    return f32_from(numbers->at + 4 * index);
}

size_t gguf_n_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t index)
{
    return &g->tensor[index];
}

int gguf_find_tensor(const struct gguf *g, const char *name, const struct gguf_tensor **tensor,
                     struct gguf_error *err)
{
    size_t len = strlen(name);
    size_t low = 0;
    size_t high = g->n_tensors;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct gguf_tensor *t = &g->tensor[g->tensor_by_name[middle]];
        int order = gguf_name_order(name, len, t->name, t->name_len);
        if (order == 0) {
            *tensor = t;
            return GGUF_OK;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    gguf_fail(err, "tensor '%s' is missing", name);
    return GGUF_ABSENT;
}
