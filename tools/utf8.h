/* tools/utf8.h: text from a model may end inside a character; JSON may not. */
#ifndef TOOLS_UTF8_H
#define TOOLS_UTF8_H

#include <stddef.h>

/* A terminated copy in which every byte that belongs to no valid UTF-8 character has become U+FFFD, and
 * NUL too; NULL if out of memory. The caller frees it. */
char *utf8_clean(const char *text, size_t len);

#endif
