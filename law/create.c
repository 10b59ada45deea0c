/* law/create.c: anl_device_create_law(): picks the build of the law that this machine runs fastest. */
#include <stdio.h>

#include "src/backend.h"

extern const struct anl_backend anl_law_soft_backend;
#ifdef ANL_LAW_HAS_HARD
extern const struct anl_backend anl_law_hard_backend;
#endif

anl_status anl_device_create_law(struct anl_context *context, struct anl_device **out)
{
    const struct anl_backend *backend = &anl_law_soft_backend;
    struct anl_device *d;

    if (!out)
        return ANL_E_ARGUMENT;
    *out = NULL;
    if (!context)
        return ANL_E_ARGUMENT;
#ifdef ANL_LAW_HAS_HARD
    if (__builtin_cpu_supports("fma"))
        backend = &anl_law_hard_backend;
#endif
    d = anl_device_alloc(context, sizeof *d, backend);
    if (!d)
        return ANL_E_MEMORY;
    d->fused_tokens = INT64_MAX;
    d->info.threads = 1;
    d->info.unified = 1;
    snprintf(d->info.name, sizeof d->info.name, "law");
    snprintf(d->info.detail, sizeof d->info.detail, "scalar");
    *out = d;
    return ANL_OK;
}
