SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FIND_PYTHON := for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done
# what pip is doing, without the hundred lines that look alike
BRIEF := awk '/Downloading .*(MB|GB)|Using cached .*(MB|GB)/ {print; fflush()} \
	/^Installing collected/ {print "unpacking " NF - 3 " packages"; fflush()}'

# 7 GB in the environment, and up to 5 of downloads until it stands; less with a torch for CPUs alone
LITTLE_SPACE := [ -x $(BIN)/pip ] || df -Pk . | awk 'NR == 2 && $$4 < 12e6 \
	{printf "only %.1f GB are free here; this takes up to 12 GB\n", $$4 / 1e6}'

# further options of the demo's run, e.g. DEMO="--iterations 600"
DEMO ?=

.PHONY: demo test test-long fuzz test-all test-lowest coverage lint format docs docs-serve bench results clean help

demo: $(READY)  ## set up, then learn which tasks share which weights of a ResNet18
	$(BIN)/mtl run --strategy lws --backbone resnet18 $(DEMO)

# three workers on two cores: many tests wait for processes that they have started
test: lint docs  ## set up, then check style, types, documentation and behaviour
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 -m "not slow and not long"

test-long: $(READY)  ## run the tests that `make test` leaves out but CI does not
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "long and not slow"

fuzz: $(READY)  ## try bad configs, files, data and plugins, and a disk that fails (hours; it goes on where it stopped)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz configs --count $(or $(CONFIGS),10000)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz run_files --count $(or $(RUN_FILES),5000)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz data_files --count $(or $(DATA_FILES),2000)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz plugins --count $(or $(PLUGINS),928)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/failing_disk.py

test-all: lint docs  ## the same with the slow tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

coverage: $(READY)  ## run the fast tests, and print which lines and branches they do not reach
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 -m "not slow and not long" --cov --cov-report=term-missing:skip-covered

test-lowest: $(READY)  ## run the fast tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	$(BIN)/python -m uv venv --quiet --allow-existing --python $(BIN)/python .venv-lowest
	$(BIN)/python -m uv pip install --python .venv-lowest/bin/python --resolution lowest-direct -e ".[dev]"
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 3 -m "not slow and not long"

lint: $(READY)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(READY)  ## build the documentation site into build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(READY)  ## show the documentation site at http://127.0.0.1:8000, built anew at every change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

format: $(READY)  ## put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## check precision on the GPU where there is one, then measure; QUICK=--quick for minutes
	PYTHON=$(abspath $(BIN))/python bash benchmarks/all.sh $(QUICK)

results: $(READY)  ## repeat the comparisons of docs/results.md (hours); DATA=folder of the data, WORKERS=n
	$(BIN)/python tools/results.py --data-root "$(DATA)" --workers $(or $(WORKERS),1)

clean:  ## remove the environment and caches; runs stay
	rm -rf $(VENV) .venv-lowest build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

$(READY): pyproject.toml
	@python="$(PYTHON)"; [ -n "$$python" ] || python=$$($(FIND_PYTHON)) || true; \
	[ -n "$$python" ] || { echo "found no Python 3.11 or newer with venv and pip among" \
		"python3.13, python3.12, python3.11, python3; name one: make PYTHON=/path/to/python" >&2; \
		exit 1; }; \
	echo "setting up $(VENV) with $$python; the first time this downloads torch, up to 5 GB"; \
	$(LITTLE_SPACE); \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	@PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --disable-pip-version-check -e ".[dev]" | $(BRIEF)
	@touch $@
