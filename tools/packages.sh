# shellcheck shell=bash
# tools/packages.sh: Debian and Ubuntu packages for the scripts beside it. Sourced, not run.

as_root=()
can_install=1
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    command -v sudo >/dev/null || can_install=0
    # without a terminal nobody can type a password
    if [ "$can_install" = 1 ] && ! [ -t 0 ]; then
        as_root=(sudo -n)
        sudo -n true 2>/dev/null || can_install=0
    fi
fi
command -v apt-get >/dev/null || can_install=0
lists_are_fresh=0

is_installed()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

is_available()
{
    case $(apt-cache policy "$1" 2>/dev/null) in
    '' | *'Candidate: (none)'*) return 1 ;;
    esac
}

# Installs those of the named packages that are missing. Returns 1 if some still are, after saying so.
install_packages()
{
    local package missing=() known=() unknown=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    if [ "$can_install" = 0 ]; then
        echo "missing, and apt-get cannot be run as root here: ${missing[*]}" >&2
        return 1
    fi
    if [ "$lists_are_fresh" = 0 ]; then
        "${as_root[@]}" apt-get update -qq </dev/null || echo "apt-get update failed" >&2
        lists_are_fresh=1
    fi
    for package in "${missing[@]}"; do
        if is_available "$package"; then
            known+=("$package")
        else
            unknown+=("$package")
        fi
    done
    if [ ${#known[@]} -gt 0 ]; then
        echo "installing: ${known[*]}"
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends "${known[@]}" </dev/null || return 1
    fi
    if [ ${#unknown[@]} -gt 0 ]; then
        echo "not in this distribution: ${unknown[*]}" >&2
        return 1
    fi
}

# A meson that is new enough: the distribution's, or one in a virtual environment under the folder $1.
ensure_meson()
{
    local version
    version=$(meson --version 2>/dev/null || echo 0)
    case $version in
    0*) ;;
    *) return 0 ;;
    esac
    if ! [ -x "$1/bin/meson" ]; then
        echo "this distribution's meson is $version, 1.0 is needed: taking it from PyPI"
        python3 -m venv "$1" && "$1/bin/pip" install --quiet 'meson>=1.0,<2' || return 1
    fi
    PATH=$1/bin:$PATH
    export PATH
}
