/* law/lanes.h: the end of a lane sum (docs/numerics.md, section 1), for C. */
#ifndef ANL_LAW_LANES_H
#define ANL_LAW_LANES_H

/* The 16 lanes to one: lane j takes lane j + w for w = 8, 4, 2, 1. */
static inline float law_lane_tree(float *lane)
{
    for (int w = LAW_LANES / 2; w > 0; w /= 2)
        for (int j = 0; j < w; j++)
            lane[j] = lane[j] + lane[j + w];
    return lane[0];
}

#endif
