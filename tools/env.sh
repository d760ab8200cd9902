# Sourced, not run: sets up what is missing and names the results.
#
#   PYTHON=python3.14 . tools/env.sh
#
# Afterwards: $venv and $build are the folders of that interpreter, $py is the
# venv's interpreter, and $venv/bin comes first on PATH.  The caller's current
# folder must be the root of the repository.

export PYTHON=${PYTHON:-python3}
tools/setup.sh "$PYTHON" || exit $?
tag=$(tools/setup.sh --tag "$PYTHON") || exit $?
venv=$PWD/.venv-$tag
build=$PWD/build-$tag
py=$venv/bin/python
export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH

# The build folders of two interpreters hold the same core: one compilation
# serves both.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

# A compiled-in path must not decide which package the tests see.
export PYTHONPATH=$build/python GUACO_EXE=$build/src/cli/guaco
export PYTHONDONTWRITEBYTECODE=1
