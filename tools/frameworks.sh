#!/usr/bin/env bash
# frameworks.sh [PYTEST-ARGUMENT...]: the smoke tests of tests/frameworks.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/build.sh

build_folder "$build" "-Dpython=$py"
"$py" -m pytest tests/frameworks "$@"
