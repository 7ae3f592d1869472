# Every target sets up what it needs; a fresh machine needs Python 3.11 or newer with venv, and make.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
DEMO := demo

.PHONY: help demo test lint types bench fuzz chaos prove clean

help:
	@echo "make demo   write an example archive, scan it, show what was found"
	@echo "make test   all tests (under ten minutes on two cores)"
	@echo "make lint   ruff and the rules about which room may import which"
	@echo "make types  mypy, strict"
	@echo "make bench  speed and memory of scans, as ratios to inflating alone; how long comparing key policies takes;"
	@echo "            what investigating costs, as a ratio to the scan"
	@echo "make fuzz   the property tests with many more examples"
	@echo "make chaos  MINUTES (10) of a service that is killed, stopped, frozen, locked out and without room on its disk"
	@echo "make prove  PAIRS (100,000) random pairs of key policies through the prover and against the evaluator"
	@echo "make clean  remove what these targets made"

# pip learnt dependency groups in 25.1; the one that a new venv brings may be older.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

demo: $(VENV)/.installed
	rm -rf $(DEMO)
	$(BIN)/keytrail simulate --out $(DEMO)/archive --events 20000 --seed 7
	$(BIN)/keytrail scan $(DEMO)/archive --accounts $(DEMO)/archive/accounts.toml --format table
	$(BIN)/keytrail scan $(DEMO)/archive --accounts $(DEMO)/archive/accounts.toml --quiet -o $(DEMO)/report.html
	@echo "The same as a page: $(DEMO)/report.html"

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python -m bench
	$(BIN)/python -m bench.policies
	$(BIN)/python -m bench.investigations
	$(BIN)/python -m bench.watch

fuzz: $(VENV)/.installed
	$(BIN)/python -m pytest --hypothesis-profile=long tests

MINUTES ?= 10
CHAOS ?=
chaos: $(VENV)/.installed
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(CHAOS)

PAIRS ?= 100000
SEED ?= 0
prove: $(VENV)/.installed
	$(BIN)/python -m tests.policy.long_run $(PAIRS) $(SEED)

clean:
	rm -rf $(VENV) $(DEMO) bench-data .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
