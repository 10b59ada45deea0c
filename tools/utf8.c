/* tools/utf8.c: see utf8.h. */
#include "tools/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the valid character at p, or 0. */
static size_t valid(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;

    if (n == 0 || n > left || p[0] == 0)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

char *utf8_clean(const char *text, size_t len)
{
    char *out = malloc(3 * len + 1), *to = out;

    for (size_t i = 0; out && i < len;) {
        size_t n = valid((const unsigned char *)text + i, len - i);
        memcpy(to, n ? text + i : "\xef\xbf\xbd", n ? n : 3);
        to += n ? n : 3;
        i += n ? n : 1;
    }
    if (out)
        *to = 0;
    return out;
}
