/* annulet/annulet.h: everything. */
#ifndef ANNULET_ANNULET_H
#define ANNULET_ANNULET_H

#include <annulet/attn.h>
#include <annulet/attn_states.h>
#include <annulet/base.h>
#include <annulet/buffer.h>
#include <annulet/context.h>
#include <annulet/device.h>
#include <annulet/embed.h>
#include <annulet/ffn.h>
#include <annulet/linear.h>
#include <annulet/norm.h>
#include <annulet/opencl.h>
#include <annulet/qkv.h>
#include <annulet/ring.h>
#include <annulet/rope.h>
#include <annulet/sample.h>
#include <annulet/tensor.h>
#include <annulet/weights.h>
#include <annulet/xent.h>

#endif
