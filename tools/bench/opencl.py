"""tools/bench/opencl.py: the little of OpenCL that the peers need, through ctypes."""
import ctypes
from ctypes import byref, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

MEM_READ_WRITE = 1
DEVICE_TYPE_ALL = 0xFFFFFFFF
DEVICE_NAME, DRIVER_VERSION = 0x102B, 0x102D
DEVICE_MAX_ALLOC = 0x1010
BUILD_LOG = 0x1183


class OpenCLError(RuntimeError):
    pass


def library(path="libOpenCL.so.1"):
    cl = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    for name in ("clCreateContext", "clCreateCommandQueue", "clCreateBuffer",
                 "clCreateProgramWithSource", "clCreateKernel"):
        getattr(cl, name).restype = c_void_p
    return cl


def check(code, what):
    if code:
        raise OpenCLError(f"{what}: OpenCL error {code}")


def platforms(cl):
    n = c_uint32()
    check(cl.clGetPlatformIDs(0, None, byref(n)), "clGetPlatformIDs")
    ids = (c_void_p * n.value)()
    check(cl.clGetPlatformIDs(n, ids, None), "clGetPlatformIDs")
    return list(ids)


def devices(cl, platform):
    n = c_uint32()
    if cl.clGetDeviceIDs(c_void_p(platform), c_uint64(DEVICE_TYPE_ALL), 0, None, byref(n)):
        return []
    ids = (c_void_p * n.value)()
    check(cl.clGetDeviceIDs(c_void_p(platform), c_uint64(DEVICE_TYPE_ALL), n, ids, None),
          "clGetDeviceIDs")
    return list(ids)


class Device:
    """Context and queue on the device that `annulet` calls cl:PLATFORM.DEVICE."""

    def __init__(self, spec, path="libOpenCL.so.1"):
        self.cl = library(path)
        p, d = (int(x) for x in spec.removeprefix("cl:").split("."))
        self.device = c_void_p(devices(self.cl, platforms(self.cl)[p])[d])
        code = c_int32()
        self.context = c_void_p(self.cl.clCreateContext(None, 1, byref(self.device), None, None,
                                                        byref(code)))
        check(code.value, "clCreateContext")
        self.queue = c_void_p(self.cl.clCreateCommandQueue(self.context, self.device, c_uint64(0),
                                                           byref(code)))
        check(code.value, "clCreateCommandQueue")

    def text(self, what):
        out = ctypes.create_string_buffer(512)
        check(self.cl.clGetDeviceInfo(self.device, what, 512, out, None), "clGetDeviceInfo")
        return out.value.decode(errors="replace").strip()

    def number(self, what):
        out = c_uint64()
        check(self.cl.clGetDeviceInfo(self.device, what, 8, byref(out), None), "clGetDeviceInfo")
        return out.value

    def buffer(self, floats):
        code = c_int32()
        mem = self.cl.clCreateBuffer(self.context, c_uint64(MEM_READ_WRITE), c_size_t(4 * floats),
                                     None, byref(code))
        check(code.value, f"clCreateBuffer of {4 * floats} bytes")
        return c_void_p(mem)

    def release(self, *buffers):
        self.finish()
        for buffer in buffers:
            self.cl.clReleaseMemObject(buffer)

    def program(self, source, options=b""):
        code = c_int32()
        text = c_char_p(source.encode())
        program = c_void_p(self.cl.clCreateProgramWithSource(self.context, 1, byref(text), None,
                                                             byref(code)))
        check(code.value, "clCreateProgramWithSource")
        bad = self.cl.clBuildProgram(program, 1, byref(self.device), options, None, None)
        if bad:
            log = ctypes.create_string_buffer(4096)
            self.cl.clGetProgramBuildInfo(program, self.device, BUILD_LOG, 4096, log, None)
            raise OpenCLError(f"clBuildProgram: {bad}: {log.value.decode(errors='replace')}")
        return program

    def kernel(self, program, name):
        code = c_int32()
        kernel = c_void_p(self.cl.clCreateKernel(program, name.encode(), byref(code)))
        check(code.value, "clCreateKernel")
        return kernel

    def launch(self, kernel, total, group, *args):
        for i, arg in enumerate(args):
            check(self.cl.clSetKernelArg(kernel, i, c_size_t(ctypes.sizeof(arg)), byref(arg)),
                  f"clSetKernelArg {i}")
        check(self.cl.clEnqueueNDRangeKernel(self.queue, kernel, 1, None, byref(c_size_t(total)),
                                             byref(c_size_t(group)), 0, None, None),
              "clEnqueueNDRangeKernel")

    def finish(self):
        check(self.cl.clFinish(self.queue), "clFinish")

    def read(self, buffer, floats, offset=0):
        out = (ctypes.c_float * floats)()
        check(self.cl.clEnqueueReadBuffer(self.queue, buffer, 1, c_size_t(4 * offset),
                                          c_size_t(4 * floats), out, 0, None, None),
              "clEnqueueReadBuffer")
        return out
