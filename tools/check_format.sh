#!/usr/bin/env bash
# check_format.sh [FILE...]: clang-format must have nothing to say.
#
# Versions disagree about the same settings, so one is fixed: Debian 12's.
set -euo pipefail
wanted=14

tool=$(command -v clang-format-$wanted || command -v clang-format) ||
    { echo "check_format: clang-format $wanted is not installed" >&2; exit 1; }
"$tool" --version | grep -q "version $wanted\." ||
    { echo "check_format: needs clang-format $wanted, found" \
        "$("$tool" --version)" >&2; exit 1; }
[ $# != 0 ] || mapfile -t files < <(git ls-files '*.c' '*.h')
[ $# = 0 ] || files=("$@")
"$tool" --dry-run --Werror "${files[@]}"
