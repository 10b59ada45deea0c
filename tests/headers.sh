#!/bin/sh
# Each public header must compile alone, twice in one file, as C11 and as C++17.
# CC and CXX name the compilers.
set -eu
cd "$(dirname "$0")/.."
flags='-Iinclude -Wall -Wextra -Wpedantic -Werror -fsyntax-only'
count=0

for header in include/annulet/*.h; do
    name=${header#include/}
    printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
        ${CC:-cc} -std=c11 -Wstrict-prototypes $flags -x c -
    printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
        ${CXX:-c++} -std=c++17 $flags -x c++ -
    count=$((count + 1))
done
[ "$count" -gt 0 ]
echo "$count headers compile alone"
