/* cl/api.h: the OpenCL functions, found at run time: in libOpenCL, or by the caller's getter. */
#ifndef ANL_CL_API_H
#define ANL_CL_API_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include <stddef.h>

/* clang-format off */
#define ANL_CL_FUNCTIONS(X) \
    X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) \
    X(clCreateContext) X(clGetContextInfo) X(clRetainContext) X(clReleaseContext) \
    X(clCreateCommandQueue) X(clRetainCommandQueue) X(clReleaseCommandQueue) \
    X(clCreateBuffer) X(clRetainMemObject) X(clReleaseMemObject) \
    X(clEnqueueReadBuffer) X(clEnqueueReadBufferRect) X(clEnqueueWriteBuffer) \
    X(clEnqueueCopyBuffer) X(clEnqueueCopyBufferRect) \
    X(clEnqueueMapBuffer) X(clEnqueueUnmapMemObject) \
    X(clCreateProgramWithSource) X(clCreateProgramWithBinary) X(clBuildProgram) \
    X(clGetProgramInfo) X(clGetProgramBuildInfo) X(clReleaseProgram) \
    X(clCreateKernel) X(clSetKernelArg) X(clReleaseKernel) X(clGetKernelWorkGroupInfo) \
    X(clEnqueueNDRangeKernel) X(clFlush) X(clFinish) \
    X(clEnqueueMarkerWithWaitList) \
    X(clGetEventInfo) X(clWaitForEvents) X(clReleaseEvent)
/* clang-format on */

/* Only the headers' types are used: nothing is linked. */
struct anl_cl_api {
#define ANL_CL_FIELD(f) __typeof__(&f) f;
    ANL_CL_FUNCTIONS(ANL_CL_FIELD)
#undef ANL_CL_FIELD
};

/* Fills the table. Returns 1, or 0 with the reason in error. libOpenCL, once open, stays open: a
 * driver's threads may outlive every device. */
int anl_cl_api_open(struct anl_cl_api *api, void *(*get_symbol)(void *user, const char *name),
                    void *user, char *error, size_t error_size);

/* "CL_OUT_OF_RESOURCES" and so on, or "OpenCL error". */
const char *anl_cl_error_name(cl_int code);

#endif
