/* Chat prompts by a table of known templates; see chat.h. */
#include "chat.h"

#include "checked.h"
#include "gguf_impl.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MARKERS = 4 };

/* The first row whose markers are all in the template, and whose `absent` is not, is taken. */
struct chat_template {
    const char *marker[MAX_MARKERS];
    const char *absent; /* or NULL */
    const char *before; /* the user's message */
    const char *after;
};

static const struct chat_template templates[] = {
    /* SmolLM2: ChatML with a system prompt of its own where the messages have none. */
    { { "<|im_start|>", "<|im_end|>", "add_generation_prompt",
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face" },
      NULL,
      "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
      "<|im_end|>\n<|im_start|>user\n",
      "<|im_end|>\n<|im_start|>assistant\n" },
    /* Plain ChatML. A template that tells the model who it is has a system prompt we do not know. */
    { { "<|im_start|>", "<|im_end|>", "add_generation_prompt" },
      "You are",
      "<|im_start|>user\n",
      "<|im_end|>\n<|im_start|>assistant\n" },
};

static bool holds(struct gguf_string s, const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; s.len >= n && i <= s.len - n; i++) {
        if (s.bytes[i] == text[0] && memcmp(s.bytes + i, text, n) == 0)
            return true;
    }
    return false;
}

static bool fits(struct gguf_string text, const struct chat_template *t)
{
    for (size_t i = 0; i < MAX_MARKERS && t->marker[i] != NULL; i++) {
        if (!holds(text, t->marker[i]))
            return false;
    }
    return t->absent == NULL || !holds(text, t->absent);
}

static const struct chat_template *find_template(struct gguf_string text)
{
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) {
        if (fits(text, &templates[i]))
            return &templates[i];
    }
    return NULL;
}

int chat_format(const struct gguf *g, const char *user, size_t user_len, char **out, size_t *out_len,
                struct gguf_error *err)
{
    const struct chat_template *t;
    struct gguf_string text;
    size_t before;
    size_t after;
    uint64_t total;
    char *prompt = NULL;

    *out = NULL;
    if (gguf_get_string(g, "tokenizer.chat_template", &text, err) != GGUF_OK)
        return GGUF_FAIL;
    t = find_template(text);
    if (t == NULL)
        return gguf_fail(err, "key 'tokenizer.chat_template': the template %s is not a known one",
                         gguf_quote(text.bytes, text.len).text);
    before = strlen(t->before);
    after = strlen(t->after);
    if (checked_add(user_len, before + after + 1, &total) && total <= SIZE_MAX)
        prompt = malloc((size_t)total);
    if (prompt == NULL)
        return gguf_fail(err, "no memory for a prompt of %zu bytes", user_len);
    memcpy(prompt, t->before, before);
    memcpy(prompt + before, user, user_len);
    memcpy(prompt + before + user_len, t->after, after + 1);
    *out = prompt;
    *out_len = before + user_len + after;
    return GGUF_OK;
}
