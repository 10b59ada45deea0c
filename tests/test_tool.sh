#!/bin/sh
# tests/test_tool.sh: the tool's exit codes, messages and JSON, with and without OpenCL.
# usage: test_tool.sh ANNULET
set -u
tool=$1
failed=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder/cache"
# no driver unless a check asks for one: it must not matter
export OCL_ICD_VENDORS="$folder"

# expect CODE TEXT ARGUMENT...: exit code, and TEXT somewhere in what is printed
expect() {
    code=$1
    text=$2
    shift 2
    "$tool" "$@" >"$folder/out" 2>&1 </dev/null
    got=$?
    if [ "$got" -ne "$code" ] || ! grep -qF -e "$text" "$folder/out"; then
        echo "annulet $*: exit code $got, expected $code and '$text'; it said:"
        head -n 5 "$folder/out"
        failed=1
    fi
}

expect 2 "usage: annulet COMMAND"
expect 0 "usage: annulet COMMAND" --help
expect 0 "annulet 0." --version
expect 2 "no command 'frobnicate'" frobnicate
for command in info verify bench tune plan score run; do
    expect 0 "usage: annulet $command" $command --help
    expect 2 "unrecognized option" $command --frobnicate
done

# devices: what is wrong, and how to write it
expect 0 "exact" info --device cpu
expect 0 "generic" info -d cpu:3:generic
expect 2 "'-1'" info -d cpu:-1
expect 2 "'0': give a whole number from 1 to 1024" info -d cpu:0
expect 2 "99999999999999999999" info -d cpu:99999999999999999999
expect 2 "'2x'" info -d cpu:2x
expect 2 "' 2'" info -d "cpu: 2"
expect 2 "unknown device 'cpux'" info -d cpux
expect 2 "unknown device ''" info -d ""
expect 2 "unknown instruction set 'mmx'" info -d cpu:1:mmx
expect 2 "cl:PLATFORM.DEVICE" info -d cl:0
expect 2 "cl:PLATFORM.DEVICE" info -d cl:0.0.0
expect 2 "'-1'" info -d cl:-1.0
expect 2 "takes no argument" info cpu
expect 2 "takes no argument" verify cpu

# OpenCL missing: said, and no failure; a device of it asked for: no such device
expect 0 "cl       none: " info
expect 0 '"opencl":' info --json
expect 3 "device 'cl:0.0'" info -d cl:0.0
expect 3 "device 'cl:0.0'" verify -d cl:0.0
expect 0 "the law's bits" verify --quick
# in place of libOpenCL a library that has none of its functions
mkdir "$folder/broken"
cp "$(ldd "$tool" | sed -n 's/.*=> \(.*libcjson\.so[^ ]*\) .*/\1/p')" "$folder/broken/libOpenCL.so.1"
LD_LIBRARY_PATH="$folder/broken${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
expect 0 "cl       none: " info
expect 0 "libOpenCL" info
expect 3 "libOpenCL" verify -d cl:0.0
expect 0 "the law's bits" verify --quick

# verify
expect 0 "0 different" verify --quick -d law -d cpu:2 --isa generic
expect 0 '"different":	0' verify --quick --json -d cpu
expect 2 "unknown instruction set" verify --quick -d cpu --isa mmx
if "$tool" verify --quick -d cpu >/dev/full 2>/dev/null; then
    echo "a full disk under standard output went unnoticed"
    failed=1
fi

# bench: its lines are JSON, its hashes are checked, signals end it, wrong shapes are explained
model=$(dirname "$0")/faults/valid.gguf
decoding="h9 hkv3 sq1 sk8192 d64 causal"
expect 0 "golden" bench attn --shape "$decoding" --rounds 2
expect 0 "golden" bench attn --shape "$decoding" --rounds 1 -d cpu:1 --isa generic
expect 0 "same" bench ffn --shape "t20 dm32 dff64 swiglu q8_0" --seconds 0.1 -d law
expect 0 "tokens a second" bench lm-prefill --model "$model" --tokens 20 --rounds 2
# json COUNT EXPRESSION ARGUMENT...: exit code 0, so many lines of JSON, the expression true of the last, l
json()
{
    count=$1
    expression=$2
    shift 2
    printf '\n\n' >"$folder/in"
    "$tool" "$@" <"$folder/in" >"$folder/out"
    got=$?
    if [ "$got" -ne 0 ] || ! python3 -c "import json, sys
a = [json.loads(l) for l in sys.stdin]
l = a[-1]
sys.exit(not (len(a) == $count and ($expression)))" <"$folder/out"; then
        echo "annulet $*: exit code $got, or not $count lines of JSON with $expression"
        failed=1
    fi
}
well='l["seconds"]["best"] > 0 and l["gflops"] > 0 and l["peak_gflops"] > 0 and l["hash_ok"]'
json 1 "$well and not l['hash_checked'] and l['rounds'] == 3" \
    bench linear --shape "t20 n64 k32 q4_1" --rounds 3 --json
json 1 "$well and l['hash_checked'] and l['hash'] == '3cac8f1892051737'" \
    bench attn --shape "$decoding" --json --seconds 0.1
json 1 "l['bandwidth_gbs'] > 0 and l['peak_gflops'] > 0" bench peak --json --rounds 1
json 4 "$well and a[0]['ready'] and a[1]['seconds'] > 0 and l['rounds'] == 2" \
    bench xent --shape "t4 n1000" --json --paced
json 1 "l['tokens_per_second'] > 0 and l['hash_ok']" \
    bench lm-decode --model "$model" --tokens 4 --rounds 2 --json --device cpu:1
for ending in "INT 130" "TERM 143"; do
    timeout --preserve-status -s "${ending% *}" 2 "$tool" bench linear --shape "t64 n64 k64" --seconds 60 \
        >"$folder/out" 2>&1
    got=$?
    if [ $got -ne "${ending#* }" ] || [ -s "$folder/out" ]; then
        echo "bench: SIG${ending% *} does not end it as it should: exit code $got; it said:"
        cat "$folder/out"
        failed=1
    fi
done
"$tool" bench xent --shape "t4 n100" --rounds 1 >/dev/full 2>"$folder/out"
if [ $? -ne 1 ] || ! grep -q "standard output" "$folder/out"; then
    echo "bench: a full disk under standard output went unnoticed"
    failed=1
fi
expect 2 "one operation" bench
expect 2 "no operation 'frob'" bench frob
expect 2 "'x9' is none of b h hkv" bench attn --shape "sq4 d8 x9"
expect 2 "for example 't" bench ffn --shape "t4"
expect 2 "multiple of hkv" bench attn --shape "sq4 d8 h3 hkv2"
expect 2 "make it smaller" bench linear --shape "t1000000 n1000000 k1000000"
expect 2 "make it smaller" bench embed --shape "t1 n16777216 dm1048576"
expect 2 "'0': give a whole number" bench attn --rounds 0
expect 2 "add --shape" bench attn --paced
expect 2 "add --model" bench lm-decode
expect 2 "with this model at most 64" bench lm-prefill --model "$model" --tokens 65
expect 2 "unknown device" bench peak --device gpu
expect 3 "device 'cl:0.0'" bench peak --device cl:0.0
expect 4 "no-such" bench lm-prefill --model "$folder/no-such.gguf"

# the language model on several devices: the same numbers and text as on one, and lists that are none
printf 'a cab, a bed, a face' >"$folder/text"
for list in cpu:1 cpu:1,cpu:1 law,cpu:2,cpu:1; do
    "$tool" score "$model" -f "$folder/text" -d "$list" >"$folder/out" 2>&1
    grep -e nll -e hash "$folder/out" >"$folder/score.${#list}"
    "$tool" run "$model" -f "$folder/text" -n 8 -d "$list" >"$folder/run.${#list}" 2>/dev/null
    if [ ! -s "$folder/score.${#list}" ] ||
        ! cmp -s "$folder/score.5" "$folder/score.${#list}" ||
        ! cmp -s "$folder/run.5" "$folder/run.${#list}"; then
        echo "score or run: other results on $list than on cpu:1"
        failed=1
    fi
done
expect 2 "device list 'cpu,,cpu'" score "$model" -f "$folder/text" -d cpu,,cpu
expect 2 "device list 'cpu,'" run "$model" -p "a cab" -d cpu,
expect 2 "unknown device 'gpu'" run "$model" -p "a cab" -d cpu:1,gpu

# a device named cpu makes no OpenCL call: it does not even look for the library
if command -v strace >/dev/null 2>&1 && strace -o "$folder/probe" true 2>/dev/null; then
    strace -f -o "$folder/trace" -e trace=openat,open "$tool" verify --quick -d cpu >/dev/null
    if grep -qi 'opencl\|\.icd' "$folder/trace"; then
        echo "verify -d cpu looks for OpenCL"
        failed=1
    fi
fi
exit $failed
