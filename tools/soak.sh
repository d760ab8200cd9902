#!/usr/bin/env bash
# soak.sh [SECONDS [KILLS]]: what takes too long for every change.
#
# Each fuzz target runs for SECONDS (default 600), see fuzz/run.sh.  Then KILLS
# processes (default 1000) are killed under load: producers and workers of the
# core, then whole trees of `guaco work`; 200 rolling reloads, 20 binary
# upgrades and 200 killed web workers (RELOADS, UPGRADES, WORKER_KILLS) go on
# under load; cron meets its oracle, the server ten
# thousand slow clients and Autobahn.  The figures belong into
# bench/RESULTS.md, with the commit that is printed last.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

seconds=${1:-600}
export KILLS=${2:-1000}
failed=()
build_folder "$build" "-Dpython=$py"
for source in fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    echo "== fuzz $name, $seconds s"
    fuzz/run.sh "$name" "$seconds" || failed+=("fuzz $name")
done

echo "== $KILLS kills of the core's workers and producers, on each store"
"$build/tests/queue/test_kill" "$KILLS" || failed+=("kills, core")

echo "== $KILLS disconnects from Redis"
"$build/tests/queue/test_redis" "$KILLS" || failed+=("disconnects, Redis")

echo "== cron against the oracle"
"$build/tests/queue/cron_oracle" 100000 || failed+=("cron")

echo "== the request corpus against nginx, HAProxy and Node"
"$py" -m pytest tests/differential || failed+=("differential")

echo "== $KILLS kills of task workers, slow clients, Autobahn"
"$py" -m pytest --timeout 14400 -s tests/soak || failed+=("kills, trees")

echo "== Huey's own tests against guaco.compat.huey"
tests/soak/huey_suite.sh || failed+=("Huey's tests")

[ ${#failed[@]} = 0 ] || printf 'failed: %s\n' "${failed[@]}"
echo "commit $(git rev-parse HEAD)$(git diff --quiet HEAD || echo ', changed')"
[ ${#failed[@]} = 0 ]
