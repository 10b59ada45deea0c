#!/bin/sh
# tests/test_tune.sh: annulet tune's messages; and where PoCL is, on its GPU-shaped kernels: what is kept,
# found again, passed over when it is damaged or another's, and forgotten.
# usage: test_tune.sh ANNULET
set -u
tool=$1
failed=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder/cache"
export OCL_ICD_VENDORS="$folder"

say() {
    echo "$*"
    failed=1
}

# expect CODE TEXT ARGUMENT...: exit code of annulet tune, and TEXT somewhere in what is printed
expect() {
    code=$1
    text=$2
    shift 2
    "$tool" tune "$@" >"$folder/out" 2>&1 </dev/null
    got=$?
    if [ "$got" -ne "$code" ] || ! grep -qF -e "$text" "$folder/out"; then
        say "annulet tune $*: exit code $got, expected $code and '$text'; it said:"
        head -n 5 "$folder/out"
    fi
}

expect 0 "usage: annulet tune" --help
expect 2 "unrecognized option" --frobnicate
expect 2 "add --device" --op linear
expect 2 "add --device" -d cpu
expect 2 "takes no argument" -d cl:0.0 more
expect 2 "one of linear, attn, all" -d cl:0.0 --op norm
expect 2 "'-1': give a number" -d cl:0.0 --seconds -1
expect 2 "is no tile" -d cl:0.0 --try "linear bm64"
expect 2 "write --shape gpu" -d cl:0.0 --shape cpu
expect 2 "cl:PLATFORM.DEVICE" -d cl:0
expect 3 "device 'cl:0.0'" -d cl:0.0
expect 3 "device 'cl:0.0'" -d cl:0.0 --forget

[ -f /etc/OpenCL/vendors/pocl.icd ] || exit $failed
export OCL_ICD_VENDORS=pocl.icd
expect 2 "nothing to tune" -d cl:0.0
expect 0 "none were kept" -d cl:0.0 --forget

# tiles that compile fast; a tile that this device cannot have is passed over
small="linear bm32 bn64 tm4 tn4 bk16 uk1 groups4 speed100 tail60"
tune() {
    expect "$1" "$2" -d cl:0.0 --shape gpu --op linear --seconds 0 --try "$small" --json
}
tune 0 '"kept":	true'
file=$(find "$folder/cache" -name '*.tiles')
[ -f "$file" ] || say "nothing was kept in $folder/cache"
[ "$(find "$folder/cache" -name '*.tiles*' | wc -l)" -eq 1 ] || say "more than one file was left"
python3 - "$folder/out" "$file" <<'END' || say "what was kept is not what was printed"
import json, sys
text = open(sys.argv[1]).read() # a driver may have said something before
o = json.JSONDecoder().raw_decode(text[text.index("{"):])[0]
kept = open(sys.argv[2]).read().splitlines()
assert kept[0].startswith("annulet ") and kept[-1].startswith("sum "), kept
assert kept[1:-1] == o["new"].splitlines(), (kept, o["new"])
assert [s["tried"] > 0 and s["seconds"] > 0 for s in o["slots"]] == [True, True], o
assert all("linear bm" in l for l in o["new"].splitlines())
END

# in_use EXPRESSION: true of what is in use, o["tiles"] and o["tuned"], and of the lines that were kept
in_use() {
    "$tool" tune -d cl:0.0 --shape gpu --show --json 2>/dev/null | python3 -c "import json, sys
o = json.load(sys.stdin)
kept = ''.join(open('$folder/good').readlines()[1:-1])
sys.exit(not ($1))" || say "not true of the tiles in use: $1"
}
cp "$file" "$folder/good"
in_use "o['tuned'] and o['tiles'] == kept"
sed 's/groups[0-9]*/groups7/' "$folder/good" >"$file" # the sum is not its own
in_use "not o['tuned'] and 'groups7' not in o['tiles'] and o['tiles'].startswith('linear ')"
head -c 100000 /dev/urandom >"$file"
expect 0 "forgotten" -d cl:0.0 --forget
[ -e "$file" ] && say "the file is still there"
for damage in cut empty folder; do
    case $damage in
    cut) head -c 80 "$folder/good" >"$file" ;;
    empty) : >"$file" ;;
    folder) rm -f "$file" && mkdir "$file" ;;
    esac
    "$tool" info -d cl:0.0 >"$folder/out" 2>&1 || say "info fails beside a damaged file: $damage"
    grep -q "annulet: " "$folder/out" && say "a damaged file is spoken of: $damage"
done
exit $failed
