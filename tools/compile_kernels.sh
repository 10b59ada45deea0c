#!/bin/sh
# Compiles every GPU-shaped kernel for Intel (ocloc) and AMD (clang with libclc), with no GPU at hand,
# and prints what the compilers tell of registers, spills, local memory and SIMD width, and how many of the
# instructions of the hottest block, the one with most fma, are fma. Exit status 1 if one does not compile,
# spills, leaves an array in private memory or has 8 lanes only; 0, with a word, where the compilers are
# missing.
#
# usage: tools/compile_kernels.sh [--markdown] [intel DEVICE... | amd DEVICE...]
#
# --markdown prints the table that docs/bench.md ends with:
#     tools/compile_kernels.sh --markdown > docs/bench/compilers.md && tools/bench/peers.py render
set -u
markdown=
if [ "${1:-}" = --markdown ]; then
    markdown=1
    shift
fi
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# name, sources of law/ and of cl/, options: as cl/program.c and the operations' C files put them, with the
# tiles that cl/tiles.c gives to the family. FEW and OC say how few its registers are: rows and attention
# hold little in them on both, linear on Intel alone.
variants() {
    attn='-DBQ=64 -DRQ=4 -DRK=4 -DDC=16 -DVC=16 -DQRES=0 -DUQ=4 -DUV=4 -DOC=64'
    tile='-DTM=4 -DTN=4 -DBK=16 -DUK=4 -DFEW=1'
    if [ "$1" != intel ]; then
        tile='-DTM=4 -DTN=4 -DBK=16 -DUK=4 -DFEW=0'
        for t in 0 1 3 4 5; do
            echo "linear128_$t $linear|-DWT=$t -DBM=128 -DBN=128 -DTM=8 -DTN=8 -DBK=16 -DUK=4 -DPLAIN=1 -DFEW=0"
        done
    fi
    cat <<END
linear64 $linear|-DWT=4 -DBM=64 -DBN=64 $tile -DPLAIN=1
linear64_f $linear|-DWT=0 -DBM=64 -DBN=64 $tile -DPLAIN=1
linear32 $linear|-DWT=4 -DBM=32 -DBN=32 $tile -DPLAIN=0
linear_row $row linear_row|-DWT=4 -DSY=4 -DNC=1 -DNORM=0 $few
linear_row_f $row linear_row|-DWT=0 -DSY=4 -DNC=1 -DNORM=1 $few
linear_row_h $row linear_row|-DWT=1 -DSY=4 -DNC=1 -DNORM=1 $few
linear_row_n $row linear_row|-DWT=3 -DSY=2 -DNC=1 -DNORM=1 $few
ffn_row $row ffn_row|-DWT=4 -DSY=2 -DNC=2 -DNORM=1 $few
qkv_row num elem narrow|tensor weights row qkv_row|-DWT=4 -DSY=2 -DNC=1 -DNORM=1 $few
qkv_row_b num elem narrow|tensor weights row qkv_row|-DWT=3 -DSY=2 -DNC=1 -DNORM=1 $few
attn64 num softmax narrow|tensor attn_softmax attn_stage attn|-DDP=64 -DDVP=64 -DKVT=0 $attn
attn64h num softmax narrow|tensor attn_softmax attn_stage attn|-DDP=64 -DDVP=64 -DKVT=1 $attn
attn128 num softmax narrow|tensor attn_softmax attn_stage attn|-DDP=128 -DDVP=128 -DKVT=0 $attn
attn256 num softmax narrow|tensor attn_softmax attn_stage attn|-DDP=256 -DDVP=256 -DKVT=0 $attn
attn_scan num softmax narrow|tensor attn_scan|
attn_row num softmax narrow|tensor attn_row|-DKVT=0 -DNT=256 -DD=64 -DDV=64
attn_row512 num softmax narrow|tensor attn_row|-DKVT=0 -DNT=512 -DD=64 -DDV=64
attn_row256 num softmax narrow|tensor attn_row|-DKVT=1 -DNT=256 -DD=256 -DDV=256
attn_end num softmax narrow|tensor attn_end|
norm num elem narrow|tensor norm|-DNT=64
rope num narrow|tensor rope|
embed num narrow|tensor weights embed|-DWT=4 -DCPU_PACK=0
xent num elem softmax narrow|tensor xent|
probe num|probe|
END
}
linear='num elem narrow|tensor weights epilogue linear'
row='num elem narrow|tensor weights epilogue row'
few='-DNX=32 -DFEW=1'

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

# The share of fma in the block of assembly that has most of them: labels, fma, instructions as patterns.
fma_share() { # file label fma instruction
    awk -v label="$2" -v fma="$3" -v any="$4" '
        function close_block() { if (f > most) { most = f; all = n } f = n = 0 }
        $0 ~ label { close_block(); next }
        $0 ~ any { n++; if ($0 ~ fma) f++ }
        END { close_block(); if (most > 7) printf ", fma %d of %d", most, all }' "$1"
}

# Intel: the report is in the binary's patch tokens: 23 tells the SIMD width, 18 of spilled registers, 38
# of arrays that stayed in private memory. Each is little-endian words after the token's head.
intel() {
    rm -rf "${work:?}/bin" "$work/dump"
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
         END { printf "%s, %d bytes spilled, %d bytes private", substr(simd, 2), spill, private
               exit spill + private > 0 || simd ~ /SIMD8/ }' "$work/dump/PTM.txt"
    code=$?
    if command -v iga64 > /dev/null; then # Debian: libigc-tools
        platform=9
        [ "$2" = skl ] || platform=12p71
        for heap in "$work"/dump/*_KernelHeap.dat; do
            iga64 -d -p="$platform" "$heap" -o "$work/heap.asm" > /dev/null 2>&1 &&
                fma_share "$work/heap.asm" '^L[0-9]+:' ' mad ' '^ +[(a-z]'
        done
    fi
    echo
    return "$code"
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
         END { exit spill }' "$1.s"
    code=$?
    fma_share "$1.s" '^[.A-Za-z_0-9]+:' '\tv_(fma|fmac)_f32' '^\t[a-z]'
    echo
    return "$code"
}

line() { # device kernel text
    if [ -n "$markdown" ]; then
        printf '| %s | %s | %s |\n' "$1" "$2" "$3"
    else
        printf '%-8s %-12s %s\n' "$1" "$2" "$3"
    fi
}

heading() {
    cat <<END
## Other vendors' compilers

What Intel's and AMD's compilers make of the kernels, with no such GPU at hand: none of these has been run.
"fma" is how many of the instructions of the block with most fma are fma: the inner loop, or what attention's
softmax takes of a tile of scores. A kernel's name and numbers are those of the tile that the device's family
is given (\`tools/compile_kernels.sh\` has the options).

$(date -u +%Y-%m-%d); $(ocloc_version), $("${clang:-clang}" --version 2> /dev/null | head -n 1). Made by
\`tools/compile_kernels.sh --markdown\`.

| device | kernel | what the compiler tells |
| --- | --- | --- |
END
}

ocloc_version() {
    dpkg-query -W -f '${Package} ${Version}' intel-opencl-icd 2> /dev/null || echo "Intel's ocloc"
}

run() { # vendor device
    variants "$1" > "$work/list"
    while IFS='|' read -r head rest options; do
        name=${head%% *}
        law=${head#"$name"}
        join "$law" "$rest" > "$work/$name.cl"
        if text=$("$1" "$work/$name" "$2" "$options -DALIGNED=1"); then
            line "$2" "$name" "$text"
        else
            line "$2" "$name" "FAILED, spills or is narrow: $text"
            grep -m 3 error "$work/$name.log"
            failed=1
        fi
    done < "$work/list"
}

libclc=/usr/lib/clc/amdgcn--amdhsa.bc
clang= # libclc's bitcode wants a clang as new as the one that made it
for c in clang-19 clang-18 clang-17 clang-16 clang-15; do
    [ -n "$clang" ] || ! command -v "$c" > /dev/null || clang=$c
done
[ -z "$markdown" ] || heading
vendor=${1:-all}
[ $# -gt 0 ] && shift
if [ "$vendor" != amd ]; then
    if command -v ocloc > /dev/null; then
        for d in ${*:-skl tgllp acm-g10}; do run intel "$d"; done
    else
        echo "skipped: no ocloc (Debian: intel-opencl-icd)"
    fi
fi
if [ "$vendor" != intel ]; then
    if [ -n "$clang" ] && [ -e "$libclc" ]; then
        for d in ${*:-gfx906 gfx1030}; do run amd "$d"; done
    else
        echo "skipped: no clang or libclc"
    fi
fi
exit $failed
