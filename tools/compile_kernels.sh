#!/bin/sh
# Compiles every GPU-shaped kernel for Intel (ocloc) and AMD (clang with libclc), with no GPU at hand,
# and prints what the compilers tell of registers, spills, local memory and SIMD width. Exit status 1
# if one does not compile, or one that is chosen for the family spills; 0, with a word, where the
# compilers are missing.
#
# usage: tools/compile_kernels.sh [intel DEVICE... | amd DEVICE...]
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# name, sources of law/ and of cl/, options: as cl/program.c and the operations' C files put them.
# Families with few registers (Intel) are not given the 128 tile. A fourth field names a vendor on
# whose devices the kernel is known to spill.
variants() {
    if [ "$1" != intel ]; then
        for t in 0 1 3 4 5; do
            echo "linear128_$t num elem narrow|tensor weights epilogue linear|-DWT=$t -DBM=128 -DTM=8"
        done
    fi
    cat <<'END'
linear64 num elem narrow|tensor weights epilogue linear|-DWT=4 -DBM=64 -DTM=4
linear32 num elem narrow|tensor weights epilogue linear|-DWT=4 -DBM=32 -DTM=4
linear_row num elem narrow|tensor weights epilogue linear_row|-DWT=4 -DNX=32 -DSY=4
attn64 num softmax narrow|tensor attn|-DDP=64 -DDVP=64 -DKVT=0 -DBQ=64 -DRQ=4 -DRK=4 -DDC=32 -DVC=32 -DQRES=0
attn64h num softmax narrow|tensor attn|-DDP=64 -DDVP=64 -DKVT=1 -DBQ=64 -DRQ=4 -DRK=4 -DDC=32 -DVC=32 -DQRES=0
attn128 num softmax narrow|tensor attn|-DDP=128 -DDVP=128 -DKVT=0 -DBQ=64 -DRQ=4 -DRK=4 -DDC=32 -DVC=16 -DQRES=0|intel
attn256 num softmax narrow|tensor attn|-DDP=256 -DDVP=256 -DKVT=0 -DBQ=64 -DRQ=4 -DRK=4 -DDC=32 -DVC=8 -DQRES=0|intel
attn_row num softmax narrow|tensor attn_row|-DKVT=0 -DNT=128
attn_end num softmax narrow|tensor attn_end|
norm num elem narrow|tensor norm|-DNT=64
rope num narrow|tensor rope|
embed num narrow|tensor weights embed|-DWT=4 -DCPU_PACK=0
xent num elem softmax narrow|tensor xent|
probe num|probe|
END
}

# Writes one file of the sources that follow each other in a program.
join() {
    cat cl/vec.cl
    for s in $1; do
        grep -v '^#include' "law/$s.h"
    done
    for s in $2; do
        cat "cl/$s.cl"
    done
}

# Intel: the report is in the binary's patch tokens: 23 tells the SIMD width, 18 of spilled registers, 38
# of arrays that stayed in private memory. Each is little-endian words after the token's head.
intel() {
    rm -rf "$work/bin" "$work/dump"
    ocloc compile -q -file "$1.cl" -device "$2" -options "-cl-std=CL1.2 $3" -output k \
        -out_dir "$work/bin" > "$1.log" 2>&1 || return 1
    ocloc disasm -file "$work"/bin/*.bin -device "$2" -dump "$work/dump" > /dev/null 2>&1
    [ -e "$work/dump/PTM.txt" ] || return 1
    awk 'function hex(s) { return (index("0123456789abcdef", substr(s, 1, 1)) - 1) * \
                                  (length(s) > 1 ? 16 : 1) + \
                                  (length(s) > 1 ? index("0123456789abcdef", substr(s, 2, 1)) - 1 : 0) }
         function word(i) { return hex($(2 + 4 * i)) + 256 * hex($(3 + 4 * i)) + \
                                   65536 * hex($(4 + 4 * i)) }
         $2 == "Token" { token = $3 }
         $1 == "Hex" && token == 23 { simd = simd " SIMD" word(3) }
         $1 == "Hex" && token == 18 { spill += word(1) }
         $1 == "Hex" && token == 38 { private += word(3) }
         END { printf "%s, %d bytes spilled, %d bytes private\n", substr(simd, 2), spill, private
               exit spill + private > 0 }' "$work/dump/PTM.txt"
}

amd() {
    "$clang" -target amdgcn--amdhsa -nogpulib -mcpu="$2" -Xclang -finclude-default-header -cl-std=CL1.2 -O3 \
        $3 -Xclang -mlink-builtin-bitcode -Xclang "$libclc" -S -o "$1.s" "$1.cl" > "$1.log" 2>&1 ||
        return 1
    awk '/^; Kernel info/ { k = 1 }
         /^; NumVgprs:/ { v = $3 } /^; NumSgprs:/ { s = $3 } /^; ScratchSize:/ { m = $3 }
         /^; LDSByteSize:/ { l = $3 } /^; Occupancy:/ {
             printf "%s%s VGPR, %s SGPR, %s bytes local, %s scratch, occupancy %s", sep, v, s, l, m, $3
             sep = "; "; if (m > 0) spill = 1 }
         END { print ""; exit spill }' "$1.s"
}

run() { # vendor device
    variants "$1" > "$work/list"
    next=1
    [ "$1" = intel ] && next=0
    while IFS='|' read -r head rest options known; do
        name=${head%% *}
        law=${head#"$name"}
        join "$law" "$rest" > "$work/$name.cl"
        if text=$("$1" "$work/$name" "$2" "$options -DALIGNED=1 -DNEXTK=$next"); then
            printf '%-8s %-12s %s\n' "$2" "$name" "$text"
        elif [ "$known" = "$1" ] && [ -n "$text" ]; then
            printf '%-8s %-12s %s (known)\n' "$2" "$name" "$text"
        else
            printf '%-8s %-12s FAILED or spills: %s\n' "$2" "$name" "$text"
            grep -m 3 error "$work/$name.log"
            failed=1
        fi
    done < "$work/list"
}

vendor=${1:-all}
[ $# -gt 0 ] && shift
if [ "$vendor" != amd ]; then
    if command -v ocloc > /dev/null; then
        for d in ${*:-skl acm-g10}; do run intel "$d"; done
    else
        echo "skipped: no ocloc (Debian: intel-opencl-icd)"
    fi
fi
if [ "$vendor" != intel ]; then
    libclc=/usr/lib/clc/amdgcn--amdhsa.bc
    clang= # libclc's bitcode wants a clang as new as the one that made it
    for c in clang-19 clang-18 clang-17 clang-16 clang-15; do
        [ -n "$clang" ] || ! command -v "$c" > /dev/null || clang=$c
    done
    if [ -n "$clang" ] && [ -e "$libclc" ]; then
        for d in ${*:-gfx906 gfx1030}; do run amd "$d"; done
    else
        echo "skipped: no clang or libclc"
    fi
fi
exit $failed
