#!/usr/bin/env bash
# bench.sh [server|queue|loop [ARGUMENT...]]: the benchmarks, on a release build.
#
# Without an argument all of them run; the arguments go to bench/NAME/run.py.
# Read the head of that file for what the figures are.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh --bench "${PYTHON:-python3}"
. tools/build.sh

release=$PWD/build-release-$tag
build_folder "$release" "-Dpython=$py" -Dbuildtype=release -Dtests=false
use_build "$release"
if [ $# != 0 ]; then
    exec "$py" "bench/$1/run.py" "${@:2}"
fi
for name in server queue loop; do
    "$py" "bench/$name/run.py" --python "$tag"
done
