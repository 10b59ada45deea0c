/* src/context.c: the context: allocator and log. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/internal.h"

#define ANL_STRINGIFY(x) #x
#define ANL_VERSION_STRING(a, b, c) ANL_STRINGIFY(a) "." ANL_STRINGIFY(b) "." ANL_STRINGIFY(c)

const char *anl_version(void)
{
    return ANL_VERSION_STRING(ANL_VERSION_MAJOR, ANL_VERSION_MINOR, ANL_VERSION_PATCH);
}

const char *anl_status_name(anl_status status)
{
    static const char *const names[] = { "ANL_OK",          "ANL_E_ARGUMENT",  "ANL_E_MEMORY",
                                         "ANL_E_UNSUPPORTED", "ANL_E_NO_DEVICE", "ANL_E_DEVICE",
                                         "ANL_E_FORKED",    "ANL_E_CANCELLED" };
    size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "unknown status";
}

const char *anl_dtype_name(anl_dtype dtype)
{
    static const char *const names[] = { "f32", "f16", "bf16", "q8_0", "q4_1", "q4_0" };
    size_t i = (size_t)dtype;
    return i < sizeof names / sizeof *names ? names[i] : "unknown type";
}

#define HUGE_PAGE ((size_t)2 << 20)

/* Large blocks begin where a huge page may: one fault instead of 512, and fewer misses of the TLB. */
static void *default_alloc(void *user, size_t size, size_t align)
{
    void *p = NULL;
    int large = size >= 2 * HUGE_PAGE;

    (void)user;
    if (align < sizeof(void *))
        align = sizeof(void *);
    if (large && align < HUGE_PAGE)
        align = HUGE_PAGE;
    if (posix_memalign(&p, align, size ? size : 1))
        return NULL;
#ifdef MADV_HUGEPAGE
    if (large)
        madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish: it may fail */
#endif
    return p;
}

static void default_free(void *user, void *memory)
{
    (void)user;
    free(memory);
}

anl_status anl_context_create(const struct anl_context_params *params, struct anl_context **out)
{
    struct anl_context_params p = { sizeof p, default_alloc, default_free, NULL, NULL, NULL };
    struct anl_context *c;

    if (!out)
        return ANL_E_ARGUMENT;
    *out = NULL;
    if (params) {
        if (params->size < sizeof *params || !params->alloc != !params->free)
            return ANL_E_ARGUMENT;
        if (params->alloc) {
            p.alloc = params->alloc;
            p.free = params->free;
            p.alloc_user = params->alloc_user;
        }
        p.log = params->log;
        p.log_user = params->log_user;
    }
    c = p.alloc(p.alloc_user, sizeof *c, 64);
    if (!c)
        return ANL_E_MEMORY;
    c->params = p;
    *out = c;
    return ANL_OK;
}

void anl_context_destroy(struct anl_context *context)
{
    if (context)
        context->params.free(context->params.alloc_user, context);
}

void *anl_context_alloc(struct anl_context *context, size_t size, size_t align)
{
    return context->params.alloc(context->params.alloc_user, size, align);
}

void anl_context_free(struct anl_context *context, void *memory)
{
    if (memory)
        context->params.free(context->params.alloc_user, memory);
}

void anl_context_log(struct anl_context *context, anl_log_level level, const char *format, ...)
{
    char message[256];
    va_list args;

    if (!context->params.log)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    context->params.log(context->params.log_user, level, message);
}

void anl_constructor_error(struct anl_context *context, char *error, size_t error_size,
                           const char *format, ...)
{
    char message[256];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (error && error_size)
        snprintf(error, error_size, "%s", message);
    if (context)
        anl_context_log(context, ANL_LOG_ERROR, "%s", message);
}
