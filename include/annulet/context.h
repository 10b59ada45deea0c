/* annulet/context.h: what devices share: the allocator and the log callback. There are no globals;
 * a process may hold any number of contexts. */
#ifndef ANNULET_CONTEXT_H
#define ANNULET_CONTEXT_H

#include <annulet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_context;

typedef enum anl_log_level { ANL_LOG_ERROR = 0, ANL_LOG_WARNING, ANL_LOG_INFO } anl_log_level;

/* All fields may be zero: malloc is used then, and nothing is logged. The callbacks must be
 * thread-safe if devices of the context are used on several threads. */
struct anl_context_params {
    size_t size; /* sizeof(struct anl_context_params) */
    /* Returns size bytes aligned to align (a power of two, at most 4096), or NULL. */
    void *(*alloc)(void *user, size_t size, size_t align);
    void (*free)(void *user, void *memory);
    void *alloc_user;
    void (*log)(void *user, anl_log_level level, const char *message);
    void *log_user;
};

/* Makes a context. params may be NULL. The caller owns *out and destroys it after every device
 * made from it. Thread-safe. */
ANL_API anl_status anl_context_create(const struct anl_context_params *params,
                                      struct anl_context **out);

/* NULL is allowed. */
ANL_API void anl_context_destroy(struct anl_context *context);

#ifdef __cplusplus
}
#endif
#endif
