#!/usr/bin/env bash
# run.sh TARGET [SECONDS]: fuzz one target (default 60 s) under ASan and UBSan
# from its corpus.  What is found is left in soak-out/TARGET-*; new inputs that
# reach new code are in soak-out/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

target=${1:?usage: fuzz/run.sh TARGET [SECONDS]}
seconds=${2:-60}
CC=clang build_folder build-fuzz -Dpython= -Dfuzz=true -Dtests=false \
    -Db_sanitize=address,undefined -Db_lundef=false \
    -Dc_args=-fsanitize=fuzzer-no-link
mkdir -p "soak-out/$target" "fuzz/corpus/$target"
exec "build-fuzz/fuzz/fuzz_$target" -max_total_time="$seconds" \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="soak-out/$target-" \
    "soak-out/$target" "fuzz/corpus/$target"
