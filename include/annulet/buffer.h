/* annulet/buffer.h: memory of a device. A buffer belongs to one device and must be destroyed before
 * it. Threads: as the device. */
#ifndef ANNULET_BUFFER_H
#define ANNULET_BUFFER_H

#include <annulet/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_buffer;

/* size bytes (0 is allowed) of uninitialised memory, aligned to 64 bytes. The caller owns *out. */
ANL_API anl_status anl_buffer_create(struct anl_device *device, uint64_t size,
                                     struct anl_buffer **out);

/* A buffer over the caller's own memory, with no copy: law and CPU backends (OpenCL gives
 * ANL_E_UNSUPPORTED). memory must be aligned to 4 bytes and outlive the buffer. */
ANL_API anl_status anl_buffer_wrap(struct anl_device *device, void *memory, uint64_t size,
                                   struct anl_buffer **out);

/* NULL is allowed. Waits for queued work that uses the buffer. */
ANL_API void anl_buffer_destroy(struct anl_buffer *buffer);

ANL_API uint64_t anl_buffer_size(const struct anl_buffer *buffer);

/* The memory itself on the law and CPU backends, else NULL. Valid as long as the buffer. */
ANL_API void *anl_buffer_host(struct anl_buffer *buffer);

/* Copies size bytes in or out at offset at offset.
 * Complete on return, after all work queued before. */
ANL_API anl_status anl_buffer_write(struct anl_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t size);
ANL_API anl_status anl_buffer_read(struct anl_buffer *buffer, uint64_t offset, void *data,
                                   uint64_t size);

#ifdef __cplusplus
}
#endif
#endif
