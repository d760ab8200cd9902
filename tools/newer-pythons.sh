#!/usr/bin/env bash
# newer-pythons.sh DIR: put CPython 3.14 and 3.15 into DIR/usr/bin.
#
# Debian 12 has 3.11 only.  The packages of Debian unstable are unpacked into
# DIR, never installed, and the interpreters are made to use the C library that
# came with them; nothing outside DIR changes.  Exit status 1 with a word on
# stderr where the machine has no Debian mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }

versions=(3.14 3.15)
dir=$(realpath -m "$1")
stamp=$dir/.stamp
want=$(sha256sum <"$0")
[ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && exit 0

give_up() { echo "newer-pythons: $*" >&2; exit 1; }

for tool in apt-get dpkg-deb patchelf; do
    command -v $tool >/dev/null || give_up "$tool is not installed"
done

# The mirror that this machine uses for its own suite.
mirror=$(apt-get indextargets --format '$(LABEL) $(COMPONENT) $(REPO_URI)' \
    'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "main" && $3 !~ /security/ && !n++ {print $3}')
[ -n "$mirror" ] || give_up "no Debian mirror among apt's sources"

# An apt that knows of that mirror's unstable and of no installed package, so
# that it fetches every dependency.  Lists are signed; a mirror that is a few
# weeks behind will do.
rm -rf "$dir"
lists=$dir/apt
mkdir -p "$lists"/{state/lists/partial,cache/archives/partial}
: >"$lists/status"
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] $mirror unstable main" >"$lists/sources.list"
fetch() {
    apt-get -qq -o "Dir::Etc::sourcelist=$lists/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o "Dir::State=$lists/state" \
        -o "Dir::State::status=$lists/status" -o "Dir::Cache=$lists/cache" \
        -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1 \
        -o Acquire::Check-Valid-Until=false "$@"
}
fetch update || give_up "the mirror has no list for unstable"
names=()
for version in "${versions[@]}"; do
    names+=("python$version" "python$version-dev" "libpython$version-dev")
done
fetch install -y --download-only --no-install-recommends "${names[@]}" \
    >/dev/null || give_up "could not fetch ${names[*]}"
for package in "$lists"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$dir"
done

# Their own loader and library path; and, inside each version's headers, the
# folder that its pyconfig.h looks for beside them (DIR/usr/include must not be
# searched, it holds the newer C library's headers).
libc=$(find "$dir/usr/lib" -name libc.so.6 | head -n 1)
library=$(dirname "$libc")
triplet=$(basename "$library")
loader=$(find "$library" -name 'ld-linux*.so.*' | head -n 1)
for version in "${versions[@]}"; do
    exe=$dir/usr/bin/python$version
    headers=$dir/usr/include/python$version
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$library" \
        "$exe"
    mkdir -p "$headers/$triplet"
    ln -sfn "../../$triplet/python$version" "$headers/$triplet/python$version"
    "$exe" -c 'import asyncio, ctypes, sqlite3, ssl' ||
        give_up "python$version does not run here"
done
rm -rf "$lists"
echo "$want" >"$stamp"
