/* tests/shape.c: see shape.h. */
#include "tests/shape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\n,"

/* Appends to text of this size, as much as has room. */
static void append(char *text, size_t size, const char *word)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", word);
}

static int set_number(const struct shape_field *f, const char *digits, void *c, char *error,
                      size_t error_size)
{
    char *end;
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (*end != 0 || errno != 0 || value < f->low || value > f->high) {
        snprintf(error, error_size, "'%s%s': give %s a whole number from %lld to %lld", f->word,
                 digits, f->word, (long long)f->low, (long long)f->high);
        return -1;
    }
    memcpy((char *)c + f->at, &(int64_t){ value }, sizeof(int64_t));
    return 0;
}

static void set_word(const struct shape_field *f, void *c)
{
    memcpy((char *)c + f->at, &f->value, sizeof f->value);
    if (f->also != 0)
        memcpy((char *)c + f->also, &f->also_value, sizeof f->also_value);
}

/* The field that a token names, with its digits; NULL: none. */
static const struct shape_field *find(const struct shape_field *fields, int count,
                                      const char *token, const char **digits)
{
    size_t letters = strcspn(token, "-0123456789");
    for (int i = 0; i < count; i++) {
        const struct shape_field *f = &fields[i];
        if (f->kind == SHAPE_WORD && strcmp(token, f->word) == 0)
            return f;
    }
    for (int i = 0; i < count; i++) {
        const struct shape_field *f = &fields[i];
        if (f->kind == SHAPE_NUMBER && strlen(f->word) == letters && token[letters] != 0 &&
            strncmp(token, f->word, letters) == 0) {
            *digits = token + letters;
            return f;
        }
    }
    return NULL;
}

int shape_parse(const char *text, const struct shape_field *fields, int count, void *c, char *error,
                size_t error_size)
{
    char usage[256], token[48];
    uint64_t given = 0;
    for (text += strspn(text, BLANKS); *text != 0; text += strspn(text, BLANKS)) {
        size_t length = strcspn(text, BLANKS);
        const char *digits = NULL;
        snprintf(token, sizeof token, "%.*s", (int)(length < 200 ? length : 200), text);
        const struct shape_field *f = find(fields, count, token, &digits);
        text += length;
        if (f == NULL) {
            shape_usage(fields, count, usage, sizeof usage);
            snprintf(error, error_size, "'%s' is none of %s", token, usage);
            return -1;
        }
        for (int i = 0; i < count; i++) {
            if (given >> i & 1 && fields[i].at == f->at) {
                snprintf(error, error_size, "'%s' after '%s': give one of them", token,
                         fields[i].word);
                return -1;
            }
        }
        given |= (uint64_t)1 << (f - fields);
        if (f->kind == SHAPE_WORD)
            set_word(f, c);
        else if (set_number(f, digits, c, error, error_size) != 0)
            return -1;
    }
    return 0;
}

static int word_holds(const struct shape_field *f, const void *c)
{
    return memcmp((const char *)c + f->at, &f->value, sizeof f->value) == 0 &&
           (f->also == 0 ||
            memcmp((const char *)c + f->also, &f->also_value, sizeof f->also_value) == 0);
}

void shape_print(const struct shape_field *fields, int count, const void *c, char *text,
                 size_t size)
{
    text[0] = 0;
    for (int i = 0; i < count; i++) {
        const struct shape_field *f = &fields[i];
        char number[24] = "";
        int64_t value;
        if (f->kind == SHAPE_WORD && !word_holds(f, c))
            continue;
        if (f->kind == SHAPE_NUMBER) {
            memcpy(&value, (const char *)c + f->at, sizeof value);
            snprintf(number, sizeof number, "%lld", (long long)value);
        }
        append(text, size, text[0] != 0 ? " " : "");
        append(text, size, f->word);
        append(text, size, number);
    }
}

void shape_usage(const struct shape_field *fields, int count, char *text, size_t size)
{
    text[0] = 0;
    for (int i = 0; i < count; i++) {
        if (fields[i].kind == SHAPE_NUMBER) {
            append(text, size, fields[i].word);
            append(text, size, " ");
        }
    }
    append(text, size, "(each with a number)");
    for (int i = 0; i < count; i++) {
        if (fields[i].kind == SHAPE_WORD) {
            append(text, size, " ");
            append(text, size, fields[i].word);
        }
    }
}
