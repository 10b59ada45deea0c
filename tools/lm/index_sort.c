/* Heap sort over indices; see index_sort.h. */
#include "index_sort.h"

static void sift_down(uint32_t *heap, size_t top, size_t n, index_order *order, const void *context)
{
    uint32_t moved = heap[top];

    for (;;) {
        size_t child = 2 * top + 1;
        if (child >= n)
            break;
        if (child + 1 < n && order(context, heap[child], heap[child + 1]) < 0)
            child++;
        if (order(context, moved, heap[child]) >= 0)
            break;
        heap[top] = heap[child];
        top = child;
    }
    heap[top] = moved;
}

void index_sort(uint32_t *index, size_t n, index_order *order, const void *context)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(index, i, n, order, context);
    for (size_t i = n; i-- > 1;) {
        uint32_t largest = index[0];
        index[0] = index[i];
        index[i] = largest;
        sift_down(index, 0, i, order, context);
    }
}
