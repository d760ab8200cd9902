#!/usr/bin/env bash
# test.sh [--python-only] [PYTEST-ARGUMENT...]: the test run for $PYTHON.
#
# C tests as built for use, under AddressSanitizer and UndefinedBehaviour-
# Sanitizer, and those of the folders with threads under ThreadSanitizer; then
# the Python tests.  All parts run even if one fails; the last lines are pytest's.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

# c_tests TITLE DIR SLACK ARGUMENT...: SLACK multiplies the time that a test may
# take, for machines that do much else and for what slows a test down.
c_tests() {
    local title=$1 dir=$2 slack=$3
    shift 3
    echo "== C tests, $title"
    meson test -C "$dir" --no-rebuild --print-errorlogs -q \
        --timeout-multiplier "$slack" "$@"
}

sanitized() {
    local dir=$1 kind=$2
    # clang: gcc's warnings about what it cannot follow through the
    # instrumentation are false.
    CC=clang build_folder "$dir" -Dpython= -Dbuildtype=debug \
        -Doptimization=1 \
        "-Db_sanitize=$kind" -Db_lundef=false
}

failed=()
build_folder "$build" "-Dpython=$py"
if [ "${1:-}" = --python-only ]; then
    shift
else
    c_tests "as built" "$build" 4 || failed+=("C tests")

    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
    # Tests fork workers while a keeper's thread runs, as applications do.
    TSAN_OPTIONS+=:die_after_fork=0
    { sanitized build-asan address,undefined &&
        c_tests "ASan and UBSan" build-asan 8; } ||
        failed+=("C tests under ASan and UBSan")
    { sanitized build-tsan thread &&
        c_tests "TSan" build-tsan 12 --suite os --suite io \
            --suite threaded; } || failed+=("C tests under TSan")
fi

echo "== Python tests, $("$py" -V)"
status=0
if [ ${#failed[@]} != 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
    status=1
fi
"$py" -m pytest tests/python tests/tools tests/conformance "$@" || status=1
exit $status
