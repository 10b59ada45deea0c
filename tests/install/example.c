#include <annulet/annulet.h>
#include <stdio.h>

/* One query that looks at three keys: prints a weighted mean of their values. */
int main(void)
{
    float q[2] = { 1, 0 }, k[6] = { 1, 2, 3, 4, -1, 0 }, v[3] = { 10, 20, 30 }, out[1];
    struct anl_context *context = NULL;
    struct anl_device *device = NULL;
    struct anl_buffer *memory = NULL;
    int ok = !anl_context_create(NULL, &context) &&
             !anl_device_create_cpu(context, NULL, &device) &&
             !anl_buffer_create(device, 256, &memory) &&
             !anl_buffer_write(memory, 0, q, sizeof q) && !anl_buffer_write(memory, 64, k, sizeof k) &&
             !anl_buffer_write(memory, 128, v, sizeof v);
    struct anl_kv_piece keys = { anl_tensor_4d(memory, 64, ANL_F32, 1, 1, 3, 2),
                                 anl_tensor_4d(memory, 128, ANL_F32, 1, 1, 3, 1), 0 };
    struct anl_attn_params p = { .size = sizeof p, .pieces = &keys, .n_pieces = 1 };
    p.q = anl_tensor_4d(memory, 0, ANL_F32, 1, 1, 1, 2);
    p.out = anl_tensor_4d(memory, 192, ANL_F32, 1, 1, 1, 1);
    ok = ok && !anl_attn(device, &p) && !anl_buffer_read(memory, 192, out, sizeof out);
    if (ok)
        printf("%.9g\n", (double)out[0]);
    else
        fprintf(stderr, "%s\n", anl_device_message(device));
    anl_buffer_destroy(memory);
    anl_device_destroy(device);
    anl_context_destroy(context);
    return !ok;
}
