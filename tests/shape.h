/* tests/shape.h: cases from a text, such as "b1 h8 sq4096 d64 causal": words, and names with a number,
 * in any order, blanks between them. Each operation's *_case.c has the table of what it takes, so
 * that any case can be built by the tables' own generators. */
#ifndef TESTS_SHAPE_H
#define TESTS_SHAPE_H

#include <stddef.h>
#include <stdint.h>

enum shape_kind {
    SHAPE_NUMBER, /* "sq4096": an int64_t from low to high */
    SHAPE_WORD    /* "causal": sets an int (or an enum) to value, and the one at `also`, if not 0 */
};

struct shape_field {
    const char *word;
    enum shape_kind kind;
    size_t at; /* offset in the case */
    int64_t low, high;
    int value;
    size_t also;
    int also_value;
};

/* The words of the weights' types, for the field at that offset. */
#define SHAPE_WEIGHTS(offset)                                        \
    { "f32", SHAPE_WORD, offset, .value = ANL_F32 },                 \
        { "f16", SHAPE_WORD, offset, .value = ANL_F16 },             \
        { "bf16", SHAPE_WORD, offset, .value = ANL_BF16 },           \
        { "q8_0", SHAPE_WORD, offset, .value = ANL_Q8_0 },           \
        { "q4_0", SHAPE_WORD, offset, .value = ANL_Q4_0 },           \
        { "q4_1", SHAPE_WORD, offset, .value = ANL_Q4_1 }

/* A case, zeroed or with defaults, from text. Returns 0, or -1 with what is wrong in error. Numbers
 * that are not given stay as they are. */
int shape_parse(const char *text, const struct shape_field *fields, int count, void *c, char *error,
                size_t error_size);

/* The text that gives this case. Two equal cases have the same text. */
void shape_print(const struct shape_field *fields, int count, const void *c, char *text,
                 size_t size);

/* What may be written, for a message: "b h sq sk with a number each; causal". */
void shape_usage(const struct shape_field *fields, int count, char *text, size_t size);

#endif
