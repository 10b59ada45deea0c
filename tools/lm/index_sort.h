/*
 * Sorts indices by a comparison that sees a context, in n log n steps whatever the input: model
 * files may be made to hit another sort's worst case, and qsort() passes no context.
 */
#ifndef LM_INDEX_SORT_H
#define LM_INDEX_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Negative, zero or positive as item a comes before, with or after item b. */
typedef int index_order(const void *context, uint32_t a, uint32_t b);

void index_sort(uint32_t *index, size_t n, index_order *order, const void *context);

#endif
