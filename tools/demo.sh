#!/usr/bin/env bash
# demo.sh [--check]: start the demo, or have examples/demo/check.py judge it.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

build_folder "$build" "-Dpython=$py"
if [ "${1:-}" = --check ]; then
    exec "$py" examples/demo/check.py
fi
cd examples/demo
exec "$GUACO_EXE" up demo:app
