#!/usr/bin/env bash
# build.sh: build for $PYTHON into build-X.Y.  The other scripts source it for
# build_folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/env.sh

# build_folder DIR MESON-OPTION...: configure DIR unless it was configured
# with the same options, then build it.
build_folder() {
    local dir=$1 log want
    shift
    want="$*"
    log=.cache/${dir##*/}.log
    mkdir -p .cache
    if [ ! -e "$dir/build.ninja" ] ||
        [ "$(cat "$dir/.options" 2>/dev/null)" != "$want" ]; then
        rm -rf "$dir"
        meson setup "$dir" "$@" >"$log" 2>&1 ||
            { cat "$log" >&2; return 1; }
        echo "$want" >"$dir/.options"
    fi
    ninja --quiet -C "$dir" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    build_folder "$build" "-Dpython=$py"
fi
