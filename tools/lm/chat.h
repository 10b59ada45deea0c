/*
 * Chat prompts. A model's chat template (tokenizer.chat_template) is a program, and a program from
 * a file is not run: a template is recognised by texts that it holds, and the prompt comes from a
 * table here. An unknown template is an error.
 */
#ifndef LM_CHAT_H
#define LM_CHAT_H

#include "gguf.h"

/*
 * The prompt for one message of the user and the start of the answer, to be encoded with
 * TOK_PARSE_SPECIAL. As with the templates themselves, a special token's text inside the user's
 * message becomes that token. On success the caller frees *out, which has *out_len bytes and a
 * terminator after them; on failure it is NULL.
 */
int chat_format(const struct gguf *g, const char *user, size_t user_len, char **out, size_t *out_len,
                struct gguf_error *err);

#endif
