#!/usr/bin/env bash
# check_wheel.sh: the wheel holds the package, the extension and the executable,
# and they work from where pip puts them.  Builds without isolation, offline.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/env.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH
"$py" -m pip wheel -q --no-build-isolation --no-deps -w "$work" .
"$py" -m venv --without-pip "$work/venv"
"$py" -m pip --python "$work/venv/bin/python" install -q --no-index \
    --no-deps "$work"/guaco-*.whl
cd "$work"
said=$(venv/bin/guaco --version)
same=$(venv/bin/python -c 'import guaco; print("guaco", guaco.__version__)')
[ "$said" = "$same" ] || { echo "executable '$said', package '$same'"; exit 1; }
unzip=$("$py" -m zipfile -l guaco-*.whl)
for name in guaco/py.typed guaco/_core.pyi guaco/_core. data/scripts/guaco \
    data/scripts/guaco-profile \
    licenses/LICENSE; do
    grep -q "$name" <<<"$unzip" || { echo "the wheel lacks $name"; exit 1; }
done
if grep -E '\.(a|h|c)( |$)' <<<"$unzip"; then
    echo "the wheel holds what belongs to the C library"; exit 1
fi
