# Everything from a clone: `make demo` shows the main job, `make test` proves it. Both make .venv themselves.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# most of the suite waits for servers and processes
WORKERS := -n 2

.PHONY: setup system demo test quick lint bench fuzz lock clean

setup: $(STAMP)

system:
	@scripts/system-packages.sh run

$(STAMP): requirements-dev.lock pyproject.toml scripts/setup.sh scripts/system-packages.sh
	@scripts/system-packages.sh run
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV)
	@touch $(STAMP)

demo: setup
	@$(BIN)/tocsin demo

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

quick: setup
	@$(BIN)/python -m pytest -q $(WORKERS) -m "not servers and not slow"

test: setup lint
	@scripts/system-packages.sh test
	@$(BIN)/python -m pytest $(WORKERS)

$(VENV)/.bench: $(STAMP) requirements-bench.lock
	@scripts/system-packages.sh bench
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks

$(VENV)/.fuzz: $(STAMP) requirements-fuzz.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@touch $@

# every reader for EACH seconds (ten minutes if not given); READER=pdf takes one alone
fuzz: $(VENV)/.fuzz
	@$(BIN)/python scripts/fuzz.py $(if $(EACH),--seconds $(EACH)) $(if $(READER),--reader $(READER))

lock:
	@scripts/lock.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
