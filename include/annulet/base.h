/* annulet/base.h: status codes, data types and the export mark that every other header uses. */
#ifndef ANNULET_BASE_H
#define ANNULET_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ANL_API
#else
#define ANL_API __attribute__((visibility("default")))
#endif

#define ANL_VERSION_MAJOR 0
#define ANL_VERSION_MINOR 1
#define ANL_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns. Anything but ANL_OK: nothing leaked, and anl_device_message() (or, for a
 * constructor, its params' error buffer) says which argument had which value, or what failed.
 * ANL_E_ARGUMENT and ANL_E_FORKED: nothing was written. Any other: an operation may be several steps,
 * of which some were made, so its results are undefined (with them what they overlay, such as a
 * residual in place), and nothing else was written. */
typedef enum anl_status {
    ANL_OK = 0,
    ANL_E_ARGUMENT,    /* an argument is out of its range */
    ANL_E_MEMORY,      /* host or device memory was refused */
    ANL_E_UNSUPPORTED, /* this device or build cannot do it */
    ANL_E_NO_DEVICE,   /* no such device, or no OpenCL here */
    ANL_E_DEVICE,      /* the driver reported an error, or the device was lost */
    ANL_E_FORKED,      /* the device was made before this process was forked */
    ANL_E_CANCELLED    /* the caller wanted no more of it: anl_ring_cancel() */
} anl_status;

/* Element types. Quantised types are blocks of 32 consecutive elements of one row, in the bytes
 * of the GGUF format (scales are little-endian f16):
 *   Q8_0  f16 d, int8 q[32]                      value d * q
 *   Q4_0  f16 d, 16 bytes                        value d * (q - 8)
 *   Q4_1  f16 d, f16 m, 16 bytes                 value fma(d, q, m)
 * byte i of the 16 holds element i in its low and element i + 16 in its high half. */
typedef enum anl_dtype {
    ANL_F32 = 0,
    ANL_F16,
    ANL_BF16,
    ANL_Q8_0,
    ANL_Q4_1,
    ANL_Q4_0
} anl_dtype;

/* "ANL_E_ARGUMENT" and so on; never NULL. Thread-safe. */
ANL_API const char *anl_status_name(anl_status status);

/* "f32", "q4_1" and so on; never NULL. Thread-safe. */
ANL_API const char *anl_dtype_name(anl_dtype dtype);

/* "0.1.0": the version of the library that is linked. Thread-safe. */
ANL_API const char *anl_version(void);

#ifdef __cplusplus
}
#endif
#endif
