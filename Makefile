# Needs make and Python 3.11 or newer, nothing else: each target sets up the environment that it uses, once.
# Another Python: make test PYTHON=/path/to/python3.13

PYTHON ?= python3
DEV := .venv
DEMO := .venv-demo
RUN := $(DEV)/bin/python -m
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Where real pictures lie beside the checkout, the tests that need them find them here; elsewhere they skip.
SELFSORT_DATA ?= $(abspath $(wildcard ../shared/data))
ifneq ($(SELFSORT_DATA),)
export SELFSORT_DATA
endif

.PHONY: help demo fmt lint types test test-slow docs bench mutate all

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: $(DEMO)/.stamp ## install the base package (no torch) and group 1,797 pictures of digits
	$(DEMO)/bin/selfsort demo

fmt: $(DEV)/.stamp ## format the code and fix what can be fixed
	$(RUN) ruff check --fix --exit-zero --quiet
	$(RUN) ruff format

lint: $(DEV)/.stamp ## check style, format, import layers and spelling
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(DEV)/bin/lint-imports --no-logo
	$(RUN) codespell_lib

types: $(DEV)/.stamp ## check the types
	$(RUN) mypy

test: lint types ## lint, types, and all tests and doctests that are not slow
	OMP_NUM_THREADS=1 $(RUN) pytest -m "not slow" --doctest-modules -n auto --maxprocesses 8

test-slow: $(DEV)/.stamp ## runs on real data that take minutes
	$(RUN) pytest -m slow tests

docs: $(DEV)/.stamp ## run the commands of the documentation and check its tables
	$(RUN) pytest tests/test_docs.py

bench: $(DEV)/.stamp-bench ## measure quality and speed; appends to benchmarks/results
	$(DEV)/bin/python benchmarks/quality.py
	$(DEV)/bin/python benchmarks/speed.py
	$(DEV)/bin/python benchmarks/training.py throughput

mutate: $(DEV)/.stamp-mutate ## plant errors in what must not be wrong, and see that tests find them; hours
	OMP_NUM_THREADS=1 $(RUN) mutmut run
	$(RUN) mutmut export-cicd-stats
	cat mutants/mutmut-cicd-stats.json

all: fmt ## format, then test and docs
	$(MAKE) test
	$(MAKE) docs

# The stamp gets its name last, so a set-up that was interrupted has none and starts again from nothing; it has the
# time of the beginning, so a file that changed in the meantime counts.
define venv
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "selfsort needs Python 3.11 or newer; \"$(PYTHON)\" is not. Run: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { \
		echo "\"$(PYTHON)\" comes without venv or ensurepip. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@if [ -e $(1)/.stamp ] && $(1)/bin/python -m pip --version >/dev/null; then rm $(1)/.stamp; else \
		echo "Setting up $(1), once; this takes a minute or two." && "$(PYTHON)" -m venv --clear $(1); fi
	@touch $(1)/.begun
endef

$(DEV)/.stamp: pyproject.toml constraints.txt
	$(call venv,$(DEV))
	$(DEV)/bin/python $(PIP_INSTALL) -e ".[dev]"
	@mv $(DEV)/.begun $@

$(DEV)/.stamp-bench: $(DEV)/.stamp
	$(DEV)/bin/python $(PIP_INSTALL) -e ".[bench]"
	@touch $@

$(DEV)/.stamp-mutate: $(DEV)/.stamp
	$(DEV)/bin/python $(PIP_INSTALL) -e ".[mutate]"
	@touch $@

# not editable: the demo runs what a user gets, so it is installed again when a source file changes
$(DEMO)/.stamp: pyproject.toml constraints.txt $(shell find src -type f ! -name '*.pyc')
	$(call venv,$(DEMO))
	$(DEMO)/bin/python $(PIP_INSTALL) .
	@mv $(DEMO)/.begun $@
