# Everything a fresh clone needs is Python 3.11–3.13 with pip, and make.
# `make demo` shows the platform, `make test` proves it; `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 3
ARGS ?=

BIN := $(VENV)/bin
RUNTIME_STAMP := $(VENV)/.installed-runtime
DEV_STAMP := $(VENV)/.installed-dev
# The dev lock is a superset of the runtime lock: once it is in, nothing else is needed.
READY := $(if $(wildcard $(DEV_STAMP)),$(DEV_STAMP),$(RUNTIME_STAMP))

.DEFAULT_GOAL := help
.PHONY: help demo setup setup-dev test tests test-fast test-nightly lint bench lock dashboards clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(READY) ## set up, start the whole platform on a simulated exchange, show the first surface
	@$(BIN)/vol up --exchange simulator $(ARGS)

setup: $(READY) ## install what the platform needs to run
setup-dev: $(DEV_STAMP) ## install what the tests need as well

# Type checks and tests share the machine: neither waits for the other.
test: $(DEV_STAMP) ## lint and every test except the nightly ones
	@$(MAKE) --no-print-directory --jobs=2 lint tests

tests: $(DEV_STAMP)
	@$(BIN)/python -m vol_platform.local.kernels
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not nightly" $(ARGS)

test-fast: $(DEV_STAMP) ## every test under about ten seconds
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow and not nightly" $(ARGS)

test-nightly: $(DEV_STAMP) ## long soaks and large fuzz runs
	@$(BIN)/python -m pytest -q -m nightly $(ARGS)

lint: $(DEV_STAMP) ## ruff, mypy strict, import rules
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }
	@echo "Lint: ruff, mypy and import rules are clean."

bench: $(DEV_STAMP) ## measure the speed bar (single core, nothing else running)
	@$(BIN)/python -m vol_platform_tests.benchmarks $(ARGS)

dashboards: $(DEV_STAMP) ## write the Grafana dashboards from their code
	@$(BIN)/python -m deploy.grafana.build

lock: ## resolve requirements/*.txt again from pyproject.toml
	@PYTHON="$(PYTHON)" sh requirements/lock.sh

clean: ## remove the virtual environment, the demo's data and caches
	rm -rf $(VENV) .vol .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh requirements/install.sh venv

$(RUNTIME_STAMP): requirements/runtime.txt requirements/install.sh pyproject.toml | $(VENV)/bin/python
	@VENV="$(VENV)" sh requirements/install.sh runtime
	@touch $@

$(DEV_STAMP): requirements/dev.txt requirements/install.sh pyproject.toml | $(VENV)/bin/python
	@VENV="$(VENV)" sh requirements/install.sh dev
	@touch $@
