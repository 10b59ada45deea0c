#!/usr/bin/env bash
# The long checks: what tools/check.sh does in small, at length (about an hour on two cores). Uses what
# check.sh has built and installed; ends with 'N passed, N failed' as it does.
# usage: tools/soak.sh [PART]...
set -u
cd "$(dirname "$0")/.." || exit 2

work=$PWD/build-check
tool=$work/release/tools/annulet
passed=0
failed=0
export LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive

step()
{
    local name=$1 log start=$SECONDS part hit=$#
    shift
    if [ ${#parts[@]} -gt 0 ]; then
        hit=0
        for part in "${parts[@]}"; do
            case $name in *"$part"*) hit=1 ;; esac
        done
    fi
    [ "$hit" -gt 0 ] || return 0
    log=$work/logs/soak-${name//[^a-zA-Z0-9]/-}.log
    if "$@" >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        printf 'ok    %5ds  %s\n' $((SECONDS - start)) "$name"
    else
        failed=$((failed + 1))
        printf 'FAIL  %5ds  %s (%s)\n' $((SECONDS - start)) "$name" "$log"
        tail -n 25 "$log" | sed 's/^/      | /'
    fi
}

# Every device, 2,048 tokens of the licence, one hash.
score_all()
{
    local model hash device
    model=$(cat "$work/model") || return 1
    for device in cpu 'cpu --isa generic' law; do
        # shellcheck disable=SC2086 # words
        hash=$("$tool" score "$model" -f LICENSE --tokens 2048 --json --device $device) || return 1
        echo "$device $hash"
        case $hash in *a7d794ce79bd9c37*) ;; *) return 1 ;; esac
    done
}

# valgrind 3.19 knows no AVX-512.
memory_checks()
{
    local model
    model=$(cat "$work/model") || return 1
    valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite -q \
        "$tool" verify --quick --device cpu:1 --isa avx2 &&
        valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite -q \
            "$tool" score "$model" -f LICENSE --tokens 4 --device cpu:1 --isa avx2
}

# The floor of devices: OpenCL 1.2, 32 KiB of local memory; it also sees races and wild reads.
floor_device()
{
    oclgrind --data-races --uninitialized --check-api --stop-errors 1 \
        "$tool" verify --quick --device cl:0.0
}

# However little memory there is, the tool ends with a code, not by a signal.
small_memory()
{
    local model limit code
    model=$(cat "$work/model") || return 1
    for limit in 60000 100000 200000 300000 400000; do
        code=0
        (
            ulimit -v $limit
            "$tool" score "$model" -f LICENSE --tokens 64 --device cpu:1
        ) || code=$?
        echo "$limit KiB: exit code $code"
        [ $code -lt 5 ] || return 1
    done
}

parts=("$@")
if ! [ -x "$tool" ] || ! [ -f "$work/model" ]; then
    echo "run tools/check.sh first" >&2
    exit 2
fi
command -v valgrind >/dev/null && command -v oclgrind >/dev/null || {
    # shellcheck source=tools/packages.sh
    . tools/packages.sh
    install_packages valgrind oclgrind || exit 2
}
step 'ulp: every float of every function' "$work/release/tools/ulp"
step 'score: 2,048 tokens on generic and law' score_all
step 'verify: every case on every device' "$tool" verify
step 'valgrind: AVX2' memory_checks
step 'oclgrind: quick cases' floor_device
step 'memory: little of it' small_memory
step 'fuzz: model files, 10 minutes' timeout 900 "$work/fuzz/fuzz_gguf" -max_total_time=600 \
    -max_len=16384 -timeout=10 "$work/fuzz/corpus" tests/fuzz_seeds tests/faults
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
