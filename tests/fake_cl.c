/* tests/fake_cl.c: see fake_cl.h. */
#include "tests/fake_cl.h"

#include <dlfcn.h>
#include <string.h>

#define FAKE_DEVICE_TYPE 0x1000
#define FAKE_VENDOR 0x1001
#define FAKE_DEVICE_TYPE_CPU 2
#define FAKE_KERNEL_NAME 0x1190
#define FAKE_GROUP_SIZE 0x11b0
#define FAKE_STATUS 0x11d3
#define FAKE_OUT_OF_RESOURCES (-5)
#define FAKE_INVALID_GROUP_SIZE (-54)

struct fake fake;


static int fake_device_info(void *object, uint32_t what, size_t size, void *value, size_t *size_out)
{
    int code = fake.device_info(object, what, size, value, size_out);
    if (code == 0 && fake.cpu && what == FAKE_DEVICE_TYPE && value != NULL)
        *(uint64_t *)value = FAKE_DEVICE_TYPE_CPU;
    if (code == 0 && fake.vendor && what == FAKE_VENDOR && value != NULL)
        *(uint32_t *)value = fake.vendor;
    return code;
}

static int fake_kernel_group_info(void *kernel, void *device, uint32_t what, size_t size, void *value,
                                  size_t *size_out)
{
    int code = fake.group_info(kernel, device, what, size, value, size_out);
    if (code == 0 && fake.max_group && what == FAKE_GROUP_SIZE)
        *(size_t *)value = fake.max_group;
    return code;
}

static int fake_event_info(void *event, uint32_t what, size_t size, void *value, size_t *size_out)
{
    int code = fake.event_info(event, what, size, value, size_out);
    if (code == 0 && what == FAKE_STATUS && event == fake.failed) {
        *(int32_t *)value = FAKE_OUT_OF_RESOURCES;
        fake.failed = NULL;
    }
    return code;
}

static int fake_wait_code(int code)
{
    int failure = fake.failure;
    fake.failure = 0;
    return code ? code : failure;
}

static int fake_finish_queue(void *queue)
{
    return fake_wait_code(fake.finish(queue));
}

static int fake_read_buffer(void *queue, void *mem, uint32_t blocking, size_t offset, size_t size,
                            void *data, uint32_t waits, void *const *wait, void **event)
{
    return fake_wait_code(fake.read(queue, mem, blocking, offset, size, data, waits, wait, event));
}

static void note_launch(void *kernel, size_t groups)
{
    char name[32] = "";
    int i;
    fake.kernel_info(kernel, FAKE_KERNEL_NAME, sizeof name, name, NULL);
    for (i = 0; fake.kernel[i].name[0] && strcmp(fake.kernel[i].name, name) != 0; i++)
        ck_assert_int_lt(i, FAKE_KERNELS - 1);
    strcpy(fake.kernel[i].name, name);
    fake.kernel[i].all += groups;
    if (groups > fake.kernel[i].groups)
        fake.kernel[i].groups = groups;
}

static int fake_enqueue(void *queue, void *kernel, uint32_t dims, const size_t *offset,
                        const size_t *global, const size_t *local, uint32_t waits, void *const *wait,
                        void **event)
{
    size_t items = 1, groups = 1;
    for (uint32_t i = 0; i < dims; i++) {
        items *= local[i];
        groups *= global[i] / local[i];
    }
    note_launch(kernel, groups);
    fake.largest = items > fake.largest ? items : fake.largest;
    if (fake.max_group && items > fake.max_group)
        return FAKE_INVALID_GROUP_SIZE;
    if (fake.dry || (fake.dropped && dims == 2 && local[0] == fake.dropped))
        return 0;
    int code = fake.launch(queue, kernel, dims, offset, global, local, waits, wait, event);
    if (code == 0 && fake.fails_in && --fake.fails_in == 0) {
        fake.failed = event ? *event : NULL;
        fake.failure = event ? 0 : FAKE_OUT_OF_RESOURCES;
        fake.failures_in_waits += event == NULL;
    }
    return code;
}

static void *fake_symbol(void *user, const char *name)
{
    static const struct {
        const char *name;
        void (*function)(void);
        void *real;
    } changed[] = {
        { "clGetDeviceInfo", (void (*)(void))fake_device_info, &fake.device_info },
        { "clGetKernelWorkGroupInfo", (void (*)(void))fake_kernel_group_info, &fake.group_info },
        { "clGetEventInfo", (void (*)(void))fake_event_info, &fake.event_info },
        { "clFinish", (void (*)(void))fake_finish_queue, &fake.finish },
        { "clEnqueueReadBuffer", (void (*)(void))fake_read_buffer, &fake.read },
        { "clEnqueueNDRangeKernel", (void (*)(void))fake_enqueue, &fake.launch },
    };
    void *symbol = dlsym(fake.library, name);
    (void)user;
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        if (strcmp(name, changed[i].name) == 0) {
            memcpy(changed[i].real, &symbol, sizeof symbol);
            memcpy(&symbol, &changed[i].function, sizeof symbol);
            break;
        }
    }
    return symbol;
}

anl_status fake_open(struct anl_context *context, const struct anl_cl_entry *entry, const char *tiles,
                     char *error, size_t error_size, struct anl_device **device)
{
    struct anl_cl_params params = { .size = sizeof params, .platform = entry->platform,
                                    .device = entry->device, .worst_grade = ANL_EXACT_NORMAL,
                                    .get_symbol = fake_symbol, .shape = ANL_CL_SHAPE_GPU,
                                    .tiles = tiles, .error = error, .error_size = error_size };
    void *symbol;
    if (fake.library == NULL)
        fake.library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    ck_assert_ptr_nonnull(fake.library);
    symbol = dlsym(fake.library, "clGetKernelInfo");
    memcpy(&fake.kernel_info, &symbol, sizeof symbol);
    return anl_device_create_cl(context, &params, device);
}

void fake_reset(void)
{
    fake = (struct fake){ .library = fake.library };
}
