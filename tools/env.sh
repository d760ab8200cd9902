# Sourced, not run: sets up what is missing and names the results.
#
#   PYTHON=python3.14 . tools/env.sh
#
# Afterwards: $venv and $build are the folders of that interpreter, $py is the
# venv's interpreter, and $venv/bin comes first on PATH.  The caller's current
# folder must be the root of the repository.

tools/setup.sh "${PYTHON:-python3}" || exit $?
# Its path from here on: with the venv on PATH the name means another.
which=$(tools/setup.sh --which "${PYTHON:-python3}") || exit $?
tag=${which%% *}
export PYTHON=${which#* }
venv=$PWD/.venv-$tag
build=$PWD/build-$tag
py=$venv/bin/python
export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH

# The build folders of two interpreters hold the same core: one compilation
# serves both.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

# use_build DIR: what runs from here on is the executable and package of DIR.
use_build() {
    export GUACO_BUILD=$1 GUACO_EXE=$1/src/cli/guaco PYTHONPATH=$1/python
}
use_build "$build"
export PYTHONDONTWRITEBYTECODE=1
