# make help: what there is.  Every target sets up what it needs first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build test test-python frameworks lint demo demo-check bench soak clean

# The interpreter: a name or a path, 3.11 to 3.15.
export PYTHON ?= python3

help:                 ## this list
	@sed -n 's/^\([a-z-]*\): *## */\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "PYTHON=python3.14 chooses the interpreter (now: $(PYTHON))"

setup:                ## system packages, .venv-X.Y
	@tools/setup.sh $(PYTHON)

build:                ## build-X.Y: the executable and the package
	@tools/build.sh

test:                 ## C tests (plain, ASan+UBSan, TSan) and Python tests
	@tools/test.sh

test-python:          ## the Python tests alone
	@tools/test.sh --python-only

frameworks:           ## a small application in each framework, from PyPI
	@tools/frameworks.sh

lint:                 ## all gates: see CONTRIBUTING.md
	@tools/lint.sh

demo:                 ## start the demo and print its URL
	@tools/demo.sh

demo-check:           ## start the demo, act as a visitor, judge what was seen
	@tools/demo.sh --check

bench:                ## the benchmarks, beside their peers
	@tools/bench.sh

# make soak SECONDS=5 KILLS=20: a short one.
SECONDS ?= 600
KILLS ?= 1000
soak:                 ## fuzzing and kills (hours; SECONDS a target, KILLS)
	@tools/soak.sh $(SECONDS) $(KILLS)

clean:                ## build folders and venvs
	rm -rf build-* .venv-* .cache .pythons dist soak-out
