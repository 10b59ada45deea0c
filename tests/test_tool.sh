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
for command in info verify score run; do
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

# a device named cpu makes no OpenCL call: it does not even look for the library
if command -v strace >/dev/null 2>&1 && strace -o "$folder/probe" true 2>/dev/null; then
    strace -f -o "$folder/trace" -e trace=openat,open "$tool" verify --quick -d cpu >/dev/null
    if grep -qi 'opencl\|\.icd' "$folder/trace"; then
        echo "verify -d cpu looks for OpenCL"
        failed=1
    fi
fi
exit $failed
