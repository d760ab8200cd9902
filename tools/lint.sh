#!/usr/bin/env bash
# lint.sh: every gate, each with one line; the findings stand above its line.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

failed=0
gate() {
    local name=$1 log=.cache/lint.log
    shift
    if "$@" >"$log" 2>&1; then
        echo "ok      $name"
    else
        cat "$log"
        echo "FAILED  $name"
        failed=$((failed + 1))
    fi
}

install_lint_tools() {
    local want
    want=$(sha256sum tools/requirements-lint.txt)
    [ "$(cat "$venv/.stamp-lint" 2>/dev/null)" = "$want" ] && return
    "$py" -m pip install -q -r tools/requirements-lint.txt
    echo "$want" >"$venv/.stamp-lint"
}

compiled_by() {
    CC=$1 build_folder "build-lint-$1" "-Dpython=$py" -Dwerror=true \
        "${@:2}"
}

mkdir -p .cache
install_lint_tools
gate "gcc, warnings are errors" compiled_by gcc
gate "clang, warnings are errors" compiled_by clang -Dfuzz=true
gate "clang-format" tools/check_format.sh
gate "layers" "$py" tools/check_layers.py
gate "public headers alone, as C and C++" "$py" tools/check_headers.py
gate "exported symbols, mutable globals" \
    "$py" tools/check_symbols.py . build-lint-gcc
gate "function and file length" "$py" tools/check_functions.py
gate "refused calls" "$py" tools/check_calls.py
gate "mypy --strict, the package" \
    "$py" -m mypy --strict --cache-dir .cache/mypy python/guaco
gate "the wheel" tools/check_wheel.sh
gate "mypy --strict, the tools" "$py" -m mypy --strict \
    --cache-dir .cache/mypy-tools tools
gate "stubs match the extension" env \
    PYTHONPATH="$PWD/build-lint-gcc/python" "$py" -m mypy.stubtest guaco._core

[ "$failed" = 0 ] || { echo "lint: $failed gates failed"; exit 1; }
echo "lint: all gates passed"
