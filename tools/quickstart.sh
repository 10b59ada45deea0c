#!/usr/bin/env bash
# From a bare Debian or Ubuntu to a language model that scores and continues a text: installs what is
# missing (as root, or by sudo), builds, fetches the model, runs it. May be run again at any time.
# usage: tools/quickstart.sh [DEVICE]      law, cpu, cpu:THREADS or cl:PLATFORM.DEVICE; default cpu
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

device=${1:-cpu}
build=build
log=$build/quickstart.log
tool=$build/tools/annulet

say()
{
    printf '\n== %s\n' "$*"
}

quietly()
{
    "$@" >>"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        echo "failed: $* (the whole log: $log)" >&2
        exit 1
    }
}

mkdir -p "$build"
: >"$log"

say "Packages that the build needs"
install_packages meson ninja-build gcc libc6-dev pkg-config libpcre2-dev libcjson-dev \
    libxxhash-dev opencl-headers python3 python3-pip python3-venv ca-certificates || {
    echo "please install what is named above, then run this again" >&2
    exit 1
}
ensure_meson "$PWD/$build/venv"

say "Building, in $build/"
if ! [ -f $build/build.ninja ]; then
    quietly meson setup $build --buildtype=release -Dtools=enabled
fi
quietly ninja -C $build

say "The model: SmolLM2-135M-Instruct, 93 MB the first time"
model=$(tools/fetch_model.sh)
echo "$model"

text=/usr/share/common-licenses/GPL-3
if ! [ -r $text ]; then
    text=$build/text
    cat LICENSE docs/*.md >$text
fi

say "How well it predicts the first 4,096 tokens of $text"
$tool score "$model" -f $text --tokens 4096 --device "$device"

say "How it goes on after them: 48 tokens"
$tool run "$model" -f $text --tokens 4096 -n 48 --device "$device"

say "Done"
echo "Other devices give the same bits; those here:"
$tool info
echo
echo "Try:  tools/quickstart.sh cl:0.0        (a device of the list above)"
echo "      $tool run $model --chat -p 'What is a ring?'"
echo "      $tool verify --quick"
