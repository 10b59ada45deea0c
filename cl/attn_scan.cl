/* cl/attn_scan.cl: before attn_tile: notes which blocks of 64 keys have a value that is not finite (there
 * weight 0 does not hide a key). One work-group per block and key head; odd is [batch * HKV][blocks]. */

__kernel void attn_scan(__global const float *vv, long4 vv4, int type, int heads, long keys, int dv,
                        long block0, long blocks, __global int *odd)
{
    __local int found;
    const int tid = (int)get_local_id(0), nt = (int)get_local_size(0);
    const long block = get_group_id(0), head = get_group_id(1), first = block * LAW_BLOCK;
    const long at = vv4.x + head / heads * vv4.y + head % heads * vv4.z + first * vv4.w;
    const int n = (int)min(keys - first, (long)LAW_BLOCK) * dv;
    int bad = 0;

    if (tid == 0)
        found = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = tid; i < n; i += nt)
        bad |= not_finite(load1(vv, at + i / dv * vv4.w + i % dv, type));
    if (bad)
        found = 1;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (tid == 0)
        odd[head * blocks + block0 + block] = found;
}
