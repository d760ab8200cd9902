#!/usr/bin/env bash
# soak.sh [SECONDS]: what takes too long for every change.
#
# Each fuzz target runs for SECONDS (default 600), see fuzz/run.sh.  Then
# tests/soak: kills under load.  The figures belong into bench/RESULTS.md, with
# the commit that is printed last.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

seconds=${1:-600}
failed=0
build_folder "$build" "-Dpython=$py"
for source in fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    echo "== fuzz $name, $seconds s"
    fuzz/run.sh "$name" "$seconds" || failed=1
done

echo "== 1000 kills of workers and producers"
"$build/tests/queue/test_kill" 1000 || failed=1

echo "== tests/soak"
"$py" -m pytest --timeout 7200 -s tests/soak || failed=1
echo "commit $(git rev-parse HEAD)$(git diff --quiet HEAD || echo ', changed')"
exit $failed
