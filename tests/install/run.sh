#!/bin/sh
# Installs a build into a folder of its own and uses it from outside, as a stranger's program would:
# pkg-config, compile, link, run; and looks at what the library shows of itself.
# usage: tests/install/run.sh BUILD [CC]
set -eu
build=$1
cc=${2:-cc}
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

fail()
{
    echo "install: $*" >&2
    exit 1
}

DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
pc=$(find "$root" -name annulet.pc)
[ -n "$pc" ] || fail "no annulet.pc"
lib=$(find "$root" -name 'libannulet.so.0')
[ -n "$lib" ] || fail "no libannulet.so.0"
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$root
LD_LIBRARY_PATH=$(dirname "$lib")
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH

# shellcheck disable=SC2046 # flags are words
$cc -std=c11 -Wall -Wextra -Werror $(pkg-config --cflags annulet) "$here/example.c" \
    -o "$root/example" $(pkg-config --libs annulet)
answer=$("$root/example")
[ "$answer" = 18.5869465 ] || fail "the example printed '$answer'"
readelf -d "$root/example" | grep -q 'NEEDED.*libannulet\.so\.0\]' || fail "linked without a SONAME"

# Nothing but the public names is visible, and no library is needed but libc, libm and OpenMP.
strange=$(nm -D --defined-only "$lib" | awk '$2 != "A" { print $3 }' | grep -v '^anl_' || true)
[ -z "$strange" ] || fail "visible symbols: $strange"
needed=$(readelf -d "$lib" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
    grep -v -E '^(libc|libm|libdl|libgomp|libomp|libpthread|ld-linux.*)\.so' || true)
[ -z "$needed" ] || fail "needs $needed"
"$(find "$root" -name annulet -type f)" --version
echo "the example printed $answer"
