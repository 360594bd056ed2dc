# All tasks of a checkout: `make demo` shows what Tocsin does, `make test` runs all tests. Both create .venv if needed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# compiled modules and rewritten assertions are kept, so that several hundred processes of the tests start faster
unexport PYTHONDONTWRITEBYTECODE
# more workers than the two cores of a small machine: many tests wait for servers and processes
WORKERS := -n 3
# readers run where they can write nothing, not even compiled modules, so a changed checkout is compiled beforehand
COMPILE := $(BIN)/python -m compileall -q $(addprefix $(CURDIR)/,crawler data scheduler spiders)

.PHONY: setup system demo test quick lint bench case fuzz lock clean

setup: $(STAMP)

system:
	@scripts/system-packages.sh run

$(STAMP): requirements-dev.lock pyproject.toml scripts/setup.sh scripts/system-packages.sh
	@scripts/system-packages.sh run
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV)
	@touch $(STAMP)

demo: setup
	@$(COMPILE)
	@$(BIN)/tocsin demo

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python scripts/vocabulary.py --check

quick: setup
	@$(COMPILE)
	@$(BIN)/python -m pytest -q $(WORKERS) -m "not servers and not slow" $(addprefix --ignore=tests/,corpora promises servers whole)

test: setup lint
	@scripts/system-packages.sh test
	@$(COMPILE)
	@$(BIN)/python -m pytest $(WORKERS)

$(VENV)/.bench: $(STAMP) requirements-bench.lock
	@scripts/system-packages.sh bench
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks

# plays the whole breach with PEOPLE people (default: 15 million, which needs 20 GB in TMPDIR)
case: setup
	@scripts/system-packages.sh bench
	@$(BIN)/python -m benchmarks case $(if $(PEOPLE),--people=$(PEOPLE))

$(VENV)/.fuzz: $(STAMP) requirements-fuzz.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@touch $@

# fuzzes every reader for EACH seconds (default: ten minutes); READER=pdf fuzzes only that reader
fuzz: $(VENV)/.fuzz
	@$(BIN)/python scripts/fuzz.py $(if $(EACH),--seconds $(EACH)) $(if $(READER),--reader $(READER))

lock:
	@scripts/lock.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
