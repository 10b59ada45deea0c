#!/usr/bin/env bash
# Builds everything and passes all tests: one line a step with its time, and at the end the line
# 'N passed, N failed'. Installs what is missing (as root, or by sudo). Works in build-check/, where
# each step leaves a log.
# usage: tools/check.sh [PART]...      only the steps whose names contain one of these words
set -u
cd "$(dirname "$0")/.." || exit 2
# shellcheck source=tools/packages.sh
. tools/packages.sh

root=$PWD
work=$root/build-check
release=$work/release
tool=$release/tools/annulet
text=$root/LICENSE
jobs=$(nproc)
# The first tokens of the licence through the model, by the law: the same on every machine.
hash_2048=a7d794ce79bd9c37
hash_256=78aa46ad5f4ff007
parts=("$@")
passed=0
failed=0
skipped=0
number=0
child=
export LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1
unset CC CXX CFLAGS CXXFLAGS LDFLAGS DESTDIR OCL_ICD_VENDORS RUSTICL_ENABLE MAKEFLAGS

on_interrupt()
{
    trap - INT TERM
    if [ -n "$child" ]; then
        kill -TERM -- "-$child" 2>/dev/null
    fi
    echo "interrupted: $passed passed, $failed failed so far"
    exit 130
}
trap on_interrupt INT TERM

wanted()
{
    local part
    for part in "${parts[@]+"${parts[@]}"}"; do
        case $1 in *"$part"*) return 0 ;; esac
    done
    [ ${#parts[@]} -eq 0 ]
}

# step NAME COMMAND...: runs it in a shell of its own that ends at the first error. Exit code 77: this
# machine cannot do it; the log's last line says why.
step()
{
    local name=$1 log code start=$SECONDS
    shift
    number=$((number + 1))
    log=$work/logs/$(printf '%02d' $number)-${name//[^a-zA-Z0-9]/-}.log
    wanted "$name" || return 0
    set -m # a process group of its own, so that an interrupt ends all of it
    (
        set +m
        set -eu
        trap - INT TERM
        cd "$root"
        "$@"
    ) >"$log" 2>&1 </dev/null &
    child=$!
    set +m
    wait $child
    code=$?
    child=
    case $code in
    0)
        passed=$((passed + 1))
        printf 'ok    %4ds  %s\n' $((SECONDS - start)) "$name"
        ;;
    77)
        skipped=$((skipped + 1))
        printf 'skip  %4ds  %s: %s\n' $((SECONDS - start)) "$name" "$(tail -n 1 "$log")"
        ;;
    *)
        failed=$((failed + 1))
        printf 'FAIL  %4ds  %s (exit code %d, %s)\n' $((SECONDS - start)) "$name" $code "$log"
        tail -n 25 "$log" | sed 's/^/      | /'
        ;;
    esac
}

skip()
{
    echo "$*"
    exit 77
}

die()
{
    echo "$*" >&2
    exit 1
}

first_of()
{
    local name
    for name in "$@"; do
        if command -v "$name" >/dev/null; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

# --- what each step does -------------------------------------------------------------------------

needed_packages()
{
    install_packages meson ninja-build gcc g++ libc6-dev binutils pkg-config libpcre2-dev \
        libcjson-dev libxxhash-dev opencl-headers check python3 python3-pip python3-venv \
        ca-certificates util-linux
    ensure_meson "$work/venv"
}

# What only some steps need: those steps say so when they miss it.
other_packages()
{
    local clang=clang-19 rt=libclang-rt-19-dev
    if ! is_available clang-19; then
        clang=clang rt=
    fi
    # shellcheck disable=SC2086 # an empty name is none
    install_packages $clang $rt shellcheck ocl-icd-libopencl1 pocl-opencl-icd mesa-opencl-icd \
        python3-xxhash qemu-user gcc-aarch64-linux-gnu gcc-riscv64-linux-gnu gcc-s390x-linux-gnu \
        libc6-dev-arm64-cross libc6-dev-riscv64-cross libc6-dev-s390x-cross
}

# Compilers of other vendors' GPUs; not all distributions have them under these names.
kernel_packages()
{
    install_packages intel-opencl-icd clang-15 libclc-15-dev libigc-tools || skip "not all of them are there"
}

# configure DIR OPTION...: sets up and builds; a folder of an earlier run serves if it has these options.
configure()
{
    local dir=$1 options
    shift
    options="${CC:-} $*"
    if ! [ -f "$dir/build.ninja" ] || [ "$(cat "$dir/options")" != "$options" ]; then
        rm -rf "$dir"
        meson setup "$dir" "$@"
        echo "$options" >"$dir/options"
    fi
    ninja -C "$dir" -j "$jobs"
}

build_release()
{
    configure "$release" --buildtype=release -Dwerror=true -Dtools=enabled -Dtests=enabled
}

tests_of()
{
    meson test -C "$1" --no-rebuild --print-errorlogs --timeout-multiplier 3 "${@:2}"
}

# The language model's tests take the real one, 2,048 tokens of it, and PoCL, where these are here.
release_tests()
{
    if [ -s "$work/model" ]; then
        ANNULET_TEST_MODEL=$(model)
        export ANNULET_TEST_MODEL ANNULET_TEST_LONG=1
    fi
    if [ -f /etc/OpenCL/vendors/pocl.icd ]; then
        export ANNULET_TEST_CL=1 OCL_ICD_VENDORS=pocl.icd
    fi
    tests_of "$release"
}

build_clang()
{
    local clang
    clang=$(first_of clang-19 clang) || skip "no clang here"
    CC=$clang configure "$work/clang" --buildtype=release -Dwerror=true -Dtools=enabled \
        -Dtests=enabled
}

build_asan()
{
    # warnings are for the other builds: gcc gives false ones among a sanitizer's additions
    configure "$work/asan" -Ddebug=true -Doptimization=1 -Db_sanitize=address,undefined \
        -Dc_args=-fno-sanitize-recover=all -Dtools=enabled -Dtests=enabled
}

# All tests but those that load OpenCL drivers, which leak of their own.
asan_tests()
{
    local names
    mapfile -t names < <(meson test -C "$work/asan" --no-rebuild --list | sed 's/.* \/ //' |
        grep -v -E '^(ninja|cl |ulp)')
    [ ${#names[@]} -gt 5 ]
    export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
    tests_of "$work/asan" "${names[@]}"
}

# Threads of the ring alone: OpenMP's make ThreadSanitizer see races that are none.
build_tsan()
{
    local cc
    cc=$(first_of clang-19 clang) || skip "no clang"
    CC=$cc configure "$work/tsan" -Ddebug=true -Doptimization=1 -Db_sanitize=thread -Db_lundef=false \
        -Dopenmp=disabled -Dopencl=disabled -Dtools=disabled -Dtests=enabled
}

tsan_rings()
{
    [ -x "$work/tsan/tests/test_ring" ] || skip "there is no such build"
    export TSAN_OPTIONS=halt_on_error=1
    "$work/tsan/tests/test_ring" random 20
    "$work/tsan/tests/test_ring_faults"
}

random_rings()
{
    "$release/tests/test_ring" random "$1" "$RANDOM"
}

many_rings()
{
    ANNULET_TEST_RINGS=$1 "$release/tests/test_ring_faults"
}

headers()
{
    CC=gcc CXX=g++ tests/headers.sh
    if command -v clang-19 clang++-19; then
        CC=clang-19 CXX=clang++-19 tests/headers.sh
    fi
}

readme_example()
{
    awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md | diff - tests/install/example.c
}

scripts()
{
    command -v shellcheck >/dev/null || skip "no shellcheck here"
    shellcheck -x -S warning -e SC2048,SC2115 tools/*.sh tests/*.sh tests/install/*.sh .ci/run
}

stranger()
{
    local python
    for python in /usr/bin/python3 python3; do
        if $python -c 'import xxhash'; then
            $python tests/stranger.py
            return
        fi
    done
    skip "no python module xxhash here"
}

fuzz_build()
{
    local clang dir=$work/fuzz
    clang=$(first_of clang-19 clang) || skip "no clang here"
    mkdir -p "$dir/corpus"
    # shellcheck disable=SC2046 # flags are words
    $clang -O1 -g -std=c11 -D_GNU_SOURCE -I. -Iinclude -Itools/lm \
        -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all tests/fuzz_gguf.c \
        $(for f in bpe chat gguf gguf_get gguf_parse index_sort pretok tokenizer vocab; do
            echo tools/lm/$f.c
        done) -o "$dir/fuzz_gguf" $(pkg-config --cflags --libs libpcre2-8 libxxhash)
}

fuzz()
{
    fuzz_build
    cd "$work/fuzz"
    ./fuzz_gguf -max_total_time="${1:-60}" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 corpus "$root/tests/fuzz_seeds" "$root/tests/faults"
}

# cross NAME TRIPLET [ARGUMENT]...: verify_quick once with each argument under qemu, hashes kept.
cross()
{
    local name=$1 triplet=$2 dir=$work/cross-$1 how
    command -v "$triplet-gcc" >/dev/null || skip "no $triplet-gcc here"
    command -v "qemu-$name" >/dev/null || skip "no qemu-$name here"
    rm -f "$dir"/hashes-*
    configure "$dir" --cross-file "cross/$name.ini" --buildtype=release -Dwerror=true \
        -Dopencl=disabled -Dtools=disabled
    for how in "${@:3}"; do
        "qemu-$name" -L "/usr/$triplet" -E LD_LIBRARY_PATH="$dir" "$dir/tests/verify_quick" "$how" |
            tee "$dir/hashes-$how"
        grep -q ' 0 different' "$dir/hashes-$how"
    done
}

# The machines that were emulated, and this one, gave the same hashes.
same_everywhere()
{
    local file n=0
    $tool verify --quick --device cpu | grep -E '^[a-z]+ .*[0-9a-f]{16} [0-9a-f]{16}' \
        >"$work/hashes-here"
    [ "$(wc -l <"$work/hashes-here")" -gt 50 ]
    for file in "$work"/cross-*/hashes-*; do
        [ -f "$file" ] || continue
        grep -E '^[a-z]+ .*[0-9a-f]{16} [0-9a-f]{16}' "$file" | diff - "$work/hashes-here"
        n=$((n + 1))
    done
    [ $n -gt 0 ] || skip "no other machine was emulated"
    echo "$n runs on other machines, the same hashes"
}

install_test()
{
    tests/install/run.sh "$release" gcc
}

# A copy of the project with one wrong constant must be found out by verify.
planted_mistake()
{
    local copy=$work/planted code=0
    rm -rf "$copy"
    mkdir -p "$copy"
    cp -r meson.build meson_options.txt include law src cpu cl tests tools "$copy"
    sed -i 's/0x1.3b30bp-7f/0x1.3b30b2p-7f/' "$copy/law/num.h"
    if cmp -s law/num.h "$copy/law/num.h"; then
        die "law/num.h no longer has the constant that this step changes"
    fi
    meson setup "$copy/build" "$copy" --buildtype=release -Dtests=disabled -Dopencl=disabled
    ninja -C "$copy/build" -j "$jobs" tools/annulet
    "$copy/build/tools/annulet" verify --quick || code=$?
    [ $code -eq 1 ] || die "verify's exit code is $code"
    code=0
    "$copy/build/tools/annulet" bench attn --shape "h9 hkv3 sq1 sk8192 d64 causal" --rounds 1 ||
        code=$?
    [ $code -eq 1 ] || die "bench's exit code is $code"
}

fetch()
{
    tools/fetch_model.sh >"$work/model"
    cat "$work/model"
}

model()
{
    cat "$work/model"
}

# score TOKENS HASH OPTION...
score()
{
    local tokens=$1 hash=$2 out
    shift 2
    out=$($tool score "$(model)" -f "$text" --tokens "$tokens" --json "$@")
    echo "$* $out"
    case $out in
    *"$hash"*) ;;
    *) die "the hash is not $hash" ;;
    esac
}

score_cpu()
{
    score 2048 $hash_2048 --device cpu:1
    score 2048 $hash_2048
    score 2048 $hash_2048 --device cpu:1,cpu:1
    if grep -q -w avx2 /proc/cpuinfo; then
        score 2048 $hash_2048 --isa avx2
    fi
    if grep -q -w avx512f /proc/cpuinfo; then
        score 2048 $hash_2048 --isa avx512
    fi
    score 256 $hash_256 --chunk 100
    score 256 $hash_256 --device cpu:3 --chunk 1
}

score_slow()
{
    score 256 $hash_256 --device law
    score 256 $hash_256 --isa generic
}

has_pocl()
{
    [ -f /etc/OpenCL/vendors/pocl.icd ] || skip "no PoCL here"
    export OCL_ICD_VENDORS=pocl.icd
}

score_pocl()
{
    has_pocl
    score 2048 $hash_2048 --device cl:0.0
    export POCL_DEVICES="pthread pthread pthread"
    score 2048 $hash_2048 --device cpu:1,cl:0.0
    score 2048 $hash_2048 --device cl:0.0,cl:0.1
    score 2048 $hash_2048 --device cl:0.0,cl:0.1,cl:0.2
}

# A seed gives one text on every device, whatever the chunks.
same_text()
{
    local want got device
    run()
    {
        $tool run "$(model)" -p "Once upon a time" -n 24 --temp 0.9 --top-p 0.95 --seed 5 --json "$@" |
            python3 -c 'import json, sys; print(repr(json.load(sys.stdin)["text"]))'
    }
    want=$(run --device cpu:1)
    echo "$want"
    [ ${#want} -gt 20 ]
    for device in "cpu" "cpu --isa generic" "cpu --chunk 2" "law"; do
        # shellcheck disable=SC2086 # words
        got=$(run --device $device)
        [ "$got" = "$want" ] || die "$device: $got"
    done
    if [ -f /etc/OpenCL/vendors/pocl.icd ]; then
        got=$(OCL_ICD_VENDORS=pocl.icd run --device cl:0.0)
        [ "$got" = "$want" ] || die "PoCL: $got"
    fi
}

# expect CODE WORD COMMAND...: the exit code, and a word of what is said on stderr. COMMAND may not
# run for long, and may not die of a signal.
expect()
{
    local want=$1 word=$2 code=0
    shift 2
    timeout 60 "$@" >"$work/out" 2>"$work/err" || code=$?
    if [ $code -ne "$want" ] || { [ -n "$word" ] && ! grep -q -i -e "$word" "$work/err"; }; then
        cat "$work/err"
        die "$*: exit code $code, not $want with '$word'"
    fi
}

exit_codes()
{
    local m t=$text command file
    m=$(model)
    expect 0 '' "$tool" --help
    expect 0 '' "$tool" --version
    for command in info verify bench tune score run; do
        expect 0 '' "$tool" $command --help
        expect 2 option "$tool" $command --no-such-option
    done
    expect 0 '' "$tool" info --json
    python3 -m json.tool <"$work/out" >/dev/null
    expect 0 '' "$tool" verify --quick --json --device cpu
    python3 -m json.tool <"$work/out" >/dev/null

    expect 1 output sh -c "'$tool' info --device cpu >/dev/full"
    expect 1 output sh -c "'$tool' score '$m' -f '$t' --tokens 2 --json >/dev/full"

    expect 2 usage "$tool"
    expect 2 sing "$tool" sing
    expect 2 argument "$tool" info more
    expect 2 model "$tool" score
    expect 2 model "$tool" score "$m"
    expect 2 model "$tool" run "$m"
    expect 2 model "$tool" run "$m" -p a -f "$t"
    for command in 0 1 -1 1e3 99999999999999999999 ' 5' ''; do
        expect 2 tokens "$tool" score "$m" -f "$t" --tokens "$command"
    done
    expect 2 tokens "$tool" score "$m" -f "$t" --tokens 100000
    expect 2 top-p "$tool" run "$m" -p a --top-p 1.5
    expect 2 temp "$tool" run "$m" -p a --temp nan
    expect 2 device "$tool" info --device gpu
    expect 2 threads "$tool" info --device cpu:0
    expect 2 threads "$tool" info --device cpu:5000
    expect 2 platform "$tool" info --device cl:
    expect 2 platform "$tool" info --device cl:0.x
    expect 2 instruction "$tool" score "$m" -f "$t" --isa sse

    expect 3 device "$tool" info --device cl:99.0
    expect 3 device env OCL_ICD_VENDORS="$work/empty" "$tool" score "$m" -f "$t" --device cl:0.0

    expect 4 'no such file' "$tool" score "$work/none.gguf" -f "$t"
    expect 4 'no such file' "$tool" score "$m" -f "$work/none.txt"
    expect 4 directory "$tool" score "$m" -f "$work"
    expect 4 "$work" "$tool" score "$work" -f "$t"
    expect 4 LICENSE "$tool" score "$t" -f "$t"
    expect 4 null "$tool" run /dev/null -p a
    head -c 1000000 "$m" >"$work/cut.gguf"
    expect 4 cut.gguf "$tool" score "$work/cut.gguf" -f "$t"
    rm "$work/cut.gguf"
    unreadable "$m"
    for file in tests/faults/[0-9]*.gguf; do
        expect 4 "^annulet: ..*" "$tool" run "$file" -p a
    done
}

# A file that may not be read, also where root runs this: without the right to read everything.
unreadable()
{
    local file=$work/unreadable.gguf as=()
    if [ "$(id -u)" -eq 0 ]; then
        as=(setpriv '--bounding-set=-dac_override,-dac_read_search')
    fi
    cp -f LICENSE "$file"
    chmod 000 "$file"
    expect 4 permission "${as[@]+"${as[@]}"}" "$tool" run "$file" -p a
    expect 4 permission "${as[@]+"${as[@]}"}" "$tool" run "$1" -f "$file"
    rm -f "$file"
}

# With no libOpenCL, no ICD, an ICD without devices: the CPU works and info says what is missing.
no_opencl()
{
    mkdir -p "$work/empty" "$work/fake"
    : >"$work/fake/libOpenCL.so.1"
    : >"$work/fake/libOpenCL.so"
    expect 0 '' env OCL_ICD_VENDORS="$work/empty" "$tool" info
    grep -q '^cl .*ICD' "$work/out"
    expect 0 '' env LD_LIBRARY_PATH="$work/fake" "$tool" info
    grep -q '^cl .*libOpenCL' "$work/out"
    expect 3 libOpenCL env LD_LIBRARY_PATH="$work/fake" "$tool" info --device cl:0.0
    expect 0 '' env LD_LIBRARY_PATH="$work/fake" "$tool" info --json
    python3 -c 'import json, sys; assert "libOpenCL" in json.load(sys.stdin)["opencl"]' <"$work/out"
    expect 0 '' env LD_LIBRARY_PATH="$work/fake" "$tool" score "$(model)" -f "$text" --tokens 16
    if [ -f /etc/OpenCL/vendors/rusticl.icd ]; then
        expect 0 '' env OCL_ICD_VENDORS=rusticl.icd "$tool" info
        grep -q '^cl .*no device' "$work/out"
    fi
}

# A device named cpu makes no OpenCL call, and does not even open the library.
cpu_is_cpu()
{
    mkdir -p "$work/fake"
    LD_DEBUG=files "$tool" score "$(model)" -f "$text" --tokens 2 --device cpu 2>"$work/err"
    grep -q libannulet "$work/err"
    if grep -i opencl "$work/err"; then
        die "an OpenCL library was opened"
    fi
}

# peers.py with no peer but our own backend, which it needs nothing for: what it does is the same.
bench_rehearsal()
{
    local page=$work/rehearsal/bench.md
    has_pocl
    rm -rf "$work/rehearsal"
    tools/bench/peers.py pocl startup --rehearse --no-venv --annulet "$tool" --model "$(model)" \
        --budget 0 --rounds 1 1 --results "$work/rehearsal/bench"
    [ "$(grep -c '^| PoCL: .* x the native backend' "$page")" -eq 5 ]
    [ "$(grep -c '^| start-up: ' "$page")" -eq 2 ]
    if grep -E '^\|.*(failed|not shown)|^What failed|WRONG' "$page"; then
        die "something failed"
    fi
}

kernels()
{
    [ -x tools/compile_kernels.sh ] || skip "no tools/compile_kernels.sh"
    tools/compile_kernels.sh
}

ulp()
{
    "$release/tools/ulp" --quick
}

# --- the steps -----------------------------------------------------------------------------------

all_steps()
{
    local begin=$SECONDS
    mkdir -p "$work/logs" "$work/empty" || exit 2
    # a password is asked for here, or never
    if [ "${as_root[*]+"${as_root[*]}"}" = sudo ]; then
        sudo -v
    fi

    step 'packages that the build needs' needed_packages
    PATH=$work/venv/bin:$PATH
    step 'packages that some tests need' other_packages
    step 'packages: compilers of GPU kernels' kernel_packages
    step 'scripts: shellcheck' scripts
    step 'build: gcc, release, warnings are errors' build_release
    step 'model: fetch' fetch
    step 'tests: release' release_tests
    step 'headers: each alone, C11 and C++17' headers
    step 'README: its example is tests/install/example.c' readme_example
    step 'install: an outside program links and runs' install_test
    step 'law: a stranger gets the hashes from docs/ alone' stranger
    step 'law: worst errors of the elementary functions' ulp
    step 'tool: exit codes and messages' exit_codes
    step 'tool: no libOpenCL, no ICD, no device' no_opencl
    step 'tool: cpu opens no OpenCL' cpu_is_cpu
    step 'model: one hash on threads and instruction sets' score_cpu
    step 'model: one hash on law and generic, 256 tokens' score_slow
    step 'model: one hash on PoCL, and on its devices in a ring' score_pocl
    step 'model: one text for a seed' same_text
    step 'bench: peers.py rehearses on PoCL' bench_rehearsal
    step 'build: clang, warnings are errors' build_clang
    step 'build: ASan and UBSan' build_asan
    step 'tests: ASan and UBSan' asan_tests
    step 'fuzz: model files, 60 s' fuzz 60
    step 'ring: random ones, 120 s' random_rings 120
    step 'ring: 10,000 in a row' many_rings 10000
    step 'build: ThreadSanitizer' build_tsan
    step 'tests: rings under ThreadSanitizer' tsan_rings
    step 'cross: aarch64' cross aarch64 aarch64-linux-gnu auto generic
    step 'cross: riscv64' cross riscv64 riscv64-linux-gnu generic
    step 'cross: s390x, big-endian' cross s390x s390x-linux-gnu generic
    step 'cross: the same hashes as here' same_everywhere
    step 'verify, bench: find a planted mistake' planted_mistake
    step 'kernels: compile for GPUs that are not here' kernels

    echo "$((SECONDS - begin)) s in all, $skipped skipped; logs in build-check/logs/"
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ] && [ $((passed + failed)) -gt 0 ]
}

# on one line, so that the shell has read it all before it begins
all_steps; exit
