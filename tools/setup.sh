#!/usr/bin/env bash
# setup.sh [--which | --bench] [PYTHON]: make all that building and testing needs.
#
# Installs the missing packages of tools/packages.txt (Debian, as root or by
# sudo; with --bench those of tools/packages-bench.txt too), makes .venv-X.Y for PYTHON (a path or a name; default python3) and
# installs tools/requirements.txt into it.  Each step leaves a stamp with the
# hash of what it was made from, so that a second run takes no time.
#
# --which prints the interpreter's X.Y and path and does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
die() { say "$@"; exit 1; }

# ---- which interpreter --------------------------------------------------

# A name is looked up on PATH, then among those that newer-pythons.sh brings.
find_python() {
    command -v "$1" 2>/dev/null && return
    [ -x ".pythons/usr/bin/$1" ] && echo "$PWD/.pythons/usr/bin/$1"
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

# Debian's own interpreter serves where PATH's python3 is too old.
resolve() {
    local exe
    exe=$(find_python "$1") || return 1
    if [ "$1" = python3 ] && ! new_enough "$exe" &&
        [ -x /usr/bin/python3 ]; then
        exe=/usr/bin/python3
    fi
    echo "$exe"
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# ---- system packages ----------------------------------------------------

missing_packages() {
    local have name
    have=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
        awk '$1 == "ii" {print $2}')
    while read -r name; do
        grep -qxF "$name" <<<"$have" || echo "$name"
    done < <(grep -hv '^#' "$@")
}

# install_packages LIST...
install_packages() {
    local missing as_root=()
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: what is needed stands in $*"
        return
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0

    if [ "$(id -u)" != 0 ]; then
        if sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo \
            >/dev/null; }; then
            as_root=(sudo)
        else
            die "missing packages, and neither root nor sudo to install" \
                "them; ask for:" $'\n   ' apt-get install $missing
        fi
    fi
    say "installing" $missing
    # Lists that are there may name versions that the mirror dropped.
    "${as_root[@]}" apt-get -qq update ||
        say "apt-get update failed; trying with the lists at hand"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends $missing >/dev/null ||
        die "apt-get could not install:" $missing
}

# ---- the virtual environment --------------------------------------------

# An interpreter without ensurepip is given pip by the default one's venv.
make_venv() {
    local exe=$1 venv=$2 helper
    rm -rf "$venv"
    if "$exe" -c 'import ensurepip, venv' 2>/dev/null; then
        "$exe" -m venv "$venv"
        return
    fi
    helper=$(resolve python3)
    [ "$helper" != "$exe" ] || die "$exe has no ensurepip: install python3-venv"
    "$0" python3
    "$exe" -m venv --without-pip "$venv"
    ".venv-$(version_of "$helper")/bin/pip" --python "$venv/bin/python" \
        install -q "$(grep '^pip==' tools/requirements.txt)"
}

install_requirements() {
    local exe=$1 venv=$2 want
    # python3 and python3.11 may be one: the venv of the one serves the other.
    want=$({ cat tools/requirements.txt tools/setup.sh
        "$exe" -c 'import os, sys; print(os.path.realpath(sys.executable))'
        "$exe" -VV; } | sha256sum)
    [ -e "$venv/.stamp" ] && [ "$(cat "$venv/.stamp")" = "$want" ] && return
    say "making $venv"
    make_venv "$exe" "$venv"
    # A venv that is not whole is its base interpreter: that one's packages are
    # not for us to change.
    export PIP_REQUIRE_VIRTUALENV=1
    "$venv/bin/python" -m pip install -q \
        "$(grep '^pip==' tools/requirements.txt)"
    "$venv/bin/python" -m pip install -q -r tools/requirements.txt
    echo "$want" >"$venv/.stamp"
}

# ---- main ---------------------------------------------------------------

if [ "${1:-}" = --which ]; then
    exe=$(resolve "${2:-python3}")
    echo "$(version_of "$exe") $exe"
    exit
fi
lists=(tools/packages.txt)
if [ "${1:-}" = --bench ]; then
    lists+=(tools/packages-bench.txt)
    shift
fi
name=${1:-python3}
# One at a time: a second one would remove the venv that the first one makes.
if [ -z "${GUACO_SETUP_LOCK:-}" ]; then
    mkdir -p .cache
    exec {lock}>.cache/setup.lock
    flock "$lock"
    export GUACO_SETUP_LOCK=$lock
fi
install_packages "${lists[@]}"
case $name in
python3.14 | python3.15)
    find_python "$name" >/dev/null || tools/newer-pythons.sh .pythons ;;
esac
exe=$(resolve "$name") || die "no interpreter '$name'"
new_enough "$exe" ||
    die "$exe is Python $(version_of "$exe"); 3.11 or newer is needed"
install_requirements "$exe" ".venv-$(version_of "$exe")"
