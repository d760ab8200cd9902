#!/usr/bin/env bash
# soak.sh [SECONDS]: what takes too long for every change.
#
# Each fuzz target runs for SECONDS (default 600) under ASan and UBSan from its
# corpus; new inputs go to soak-out/, findings to soak-out/NAME-*.  Then
# tests/soak: kills under load.  The figures belong into bench/RESULTS.md,
# with the commit that is printed last.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

seconds=${1:-600}
failed=0
build_folder "$build" "-Dpython=$py"
CC=clang build_folder build-fuzz -Dpython= -Dfuzz=true -Dtests=false \
    -Db_sanitize=address,undefined -Db_lundef=false \
    -Dc_args=-fsanitize=fuzzer-no-link
for target in build-fuzz/fuzz/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    mkdir -p "soak-out/$name" "fuzz/corpus/$name"
    echo "== fuzz $name, $seconds s"
    "$target" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="soak-out/$name-" "soak-out/$name" \
        "fuzz/corpus/$name" || failed=1
done

echo "== tests/soak"
"$py" -m pytest --timeout 7200 -s tests/soak || failed=1
echo "commit $(git rev-parse HEAD)$(git diff --quiet HEAD || echo ', changed')"
exit $failed
