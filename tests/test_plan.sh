#!/bin/sh
# tests/test_plan.sh: what `annulet plan` prints and refuses.
# usage: test_plan.sh ANNULET
set -u
tool=$1
here=$(dirname "$0")
failed=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# no driver is asked for
export OCL_ICD_VENDORS="$folder"

# expect CODE TEXT ARGUMENT...: exit code, and TEXT somewhere in what is printed
expect() {
    code=$1
    text=$2
    shift 2
    "$tool" plan "$@" >"$folder/out" 2>&1 <"$folder/in"
    got=$?
    if [ "$got" -ne "$code" ] || ! grep -qF -e "$text" "$folder/out"; then
        echo "annulet plan $*: exit code $got, expected $code and '$text'; it said:"
        head -n 5 "$folder/out"
        failed=1
    fi
}

# json EXPRESSION ARGUMENT...: exit code 0, and the expression true of the object, o
json() {
    expression=$1
    shift
    if ! "$tool" plan "$@" --json >"$folder/out" <"$folder/in" || ! python3 -c "import json, sys
o = json.load(sys.stdin)
sys.exit(not ($expression))" <"$folder/out"; then
        echo "annulet plan $* --json: it failed, or it is not true that $expression"
        failed=1
    fi
}

: >"$folder/in"
"$tool" plan --paper >"$folder/paper"
if ! diff "$here/plan_paper.txt" "$folder/paper"; then
    echo "plan --paper is not tests/plan_paper.txt"
    failed=1
fi
if "$tool" plan --paper >/dev/full 2>"$folder/out" || ! grep -q "standard output" "$folder/out"; then
    echo "plan: a full disk under standard output went unnoticed"
    failed=1
fi

# numbers with letters; a list of rings
json 'o["tokens"] == 2**20 and o["flops"] == 4e13 and o["link"] == 2.5e10 and o["host_link"] == 12.5e9 and
o["hiding_shard"] == 1600 and o["hiding_shard_between_hosts"] == 3200' \
    -t 1M -f 40T --link 25G --hosts 2 --host-link 12.5G -n 8 --type f16
json '[r["devices"] for r in o["rings"]] == [1, 2, 4] and o["kv_heads"] == 2 and
o["rings"][1]["longest"] == 2 * o["rings"][1]["longest_each"] and o["rings"][2]["efficiency"] > 0.99' \
    -t 64K -f 1T --link 100G -n 1,2,4 --heads 8 --kv-heads 2 --dim 64 --causal --memory 1Gi
expect 0 "hides its transfer from 4000 tokens on" -t 1M -f 20T --link 10G -n 4 --weights 1,2,1,0.5
# a device here
json 'o["flops"] > 0 and o["link"] > 0 and o["call_seconds"] >= 0 and o["query_seconds"] >= 0 and o["rings"][0]["seconds"] > 0' \
    -t 16K -d cpu:1 --heads 2 --dim 32 -n 2
json 'o["flops"] == 1e9 and o["link"] == 2e9' -t 16K -d law --heads 1 --dim 8 -n 2 --flops 1G --link 2G

# runs that were measured: half of the time on two devices, and a run that is not
cat >"$folder/in" <<'END'
{"devices": 1, "tokens": 16384, "causal": true, "seconds": 1.0}

{"devices": "cpu:1,cpu:1", "tokens": 16384, "causal": true, "seconds": 0.5, "heads": 16}
{"devices": [{"device": "cpu:1"}, {"device": "cpu:1"}],
 "tokens": 32768, "causal": true, "seconds": 2.1, "type": "f32", "slots": 9}
END
json 'o["off"] == 0 and len(o["runs"]) == 3 and abs(o["runs"][1]["off_by"]) < 0.01' --measured - --link 100G
expect 1 "1 of the runs are further off than 4 %" --measured - --link 100G --within 4

# bad_run LINE TEXT: a file of that line alone is refused with TEXT
bad_run() {
    echo "$1" >"$folder/in"
    expect 4 "-, run 1: $2" --measured -
}
bad_run '{"devices": 2, "tokens": 16384, "seconds": 1}' 'no run on one device comes before it'
bad_run '{"devices": 0, "tokens": 16384, "seconds": 1}' '"devices" is missing'
bad_run '{"devices": [], "tokens": 16384, "seconds": 1}' '"devices" is missing'
bad_run '{"devices": 1, "tokens": 1e300, "seconds": 1}' '"tokens" is missing'
bad_run '{"devices": 1, "seconds": 1}' '"tokens" is missing'
bad_run '{"devices": 1, "tokens": 16384, "seconds": 0}' '"seconds" is missing'
bad_run '{"devices": 1, "tokens": 16384, "seconds": 1, "heads": 3, "kv_heads": 2}' '"heads", "kv_heads"'
bad_run '{"devices": 1, "tokens": 16384, "seconds": 1, "type": "f64"}' '"slots" is no number'
bad_run '[1]' 'this is no JSON object'
bad_run '{"devices": 1' 'this is no JSON object'
: >"$folder/in"
expect 4 "cannot read $folder/no-such" --measured "$folder/no-such"

# what is missing, wrong, or does not go together
expect 2 "Give --tokens"
expect 2 "Give --flops, such as 40T, or --device" -t 1M
expect 2 "give --link" -t 1M -f 1T -n 2
expect 2 "need --host-link" -t 1M -f 1T -n 2 --hosts 2
expect 2 "--hosts is 3, but --devices 2" -t 1M -f 1T -n 2 --hosts 3 --link 1G
expect 2 "--tokens is '1.5': that is no whole number" -t 1.5 -f 1T
expect 2 "--tokens is '2000G'" -t 2000G -f 1T
expect 2 "--flops is '1Q'" -t 1M -f 1Q
expect 2 "--flops is '-1'" -t 1M -f -1
expect 2 "--flops is ''" -t 1M -f ""
expect 2 "--flops is '1Tx'" -t 1M -f 1Tx
expect 2 "--devices is ''" -t 1M -f 1T -n 2,
expect 2 "--devices is '1025'" -t 1M -f 1T -n 1025
expect 2 "--weights has 3 numbers, but --devices is 2" -t 1M -f 1T -n 2 --link 1G --weights 1,2,3
expect 2 "they are all 0" -t 1M -f 1T -n 2 --link 1G --weights 0,0
expect 2 "--heads is 16, no multiple of --kv-heads, 3" -t 1M -f 1T --kv-heads 3
expect 2 "--dim is '257'" -t 1M -f 1T --dim 257
expect 2 "--type is 'f64'" -t 1M -f 1T --type f64
expect 2 "--slots is '1'" -t 1M -f 1T --slots 1
expect 2 "--batch is '0'" -t 1M -f 1T --batch 0
expect 2 "take fewer slots" -t 1G -f 1T -n 1024 --link 1G --slots 4096
expect 2 "takes no argument 'x'" x
expect 2 "leave out --json" --paper --json
expect 2 "unknown device 'gpu'" -t 1M -d gpu
expect 3 "device 'cl:0.0'" -t 1M -d cl:0.0
exit $failed
