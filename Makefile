# stockml: the few commands, which `make help` lists.

# The first Python from 3.11 to 3.13 that can make an environment.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do $$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && exit; done; echo python3)
BIN := .venv/bin
TICKER ?= IBM

.PHONY: help run test up bench fmt lock audit clean anew
.DEFAULT_GOAL := run

help: ## these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/run.stamp ## one night, end to end: recorded prices, or Alpha Vantage's with a key; TICKER=MSFT for another
	@$(BIN)/python -m deployments.run $(TICKER)

test: .venv/test.stamp ## linters, types, layers, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict stockml flows tasks deployments
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

up: .venv/run.stamp ## the Prefect and MLflow pages, and a worker; Ctrl-C stops all
	@$(BIN)/python -m deployments.cli up

bench: .venv/test.stamp ## speed and memory figures; FAST=1 for a short run
	$(BIN)/python -m tests.bench $(if $(FAST),--fast)

fmt: .venv/test.stamp ## format and sort
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: .venv/test.stamp ## known vulnerabilities of the pinned packages
	$(BIN)/pip-audit --require-hashes --disable-pip --strict -r requirements.lock

lock: .venv/run.stamp ## pin every package again, with hashes, for Python 3.11 to 3.13
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --extra postgres --extra s3 --output-file requirements.lock
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --all-extras --constraint requirements.lock --output-file requirements-test.lock

LOCK := --upgrade --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

clean: ## remove the environment; STOCKML_HOME stays
	rm -rf .venv build *.egg-info

# made anew if its Python has gone, as an upgrade of the system's leaves it
.venv/pip.stamp: $(if $(wildcard .venv/pip.stamp),$(shell $(BIN)/python -c 'import pip' 2>/dev/null || echo anew))
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"expected Python 3.11 to 3.13, found {v[0]}.{v[1]}; name one with make PYTHON=...")'
	@$(PYTHON) -m venv $(if $(wildcard $@),--clear) .venv
	@touch $@

.venv/run.stamp: .venv/pip.stamp requirements.lock pyproject.toml
	@echo "installing the pinned packages (one to three minutes, 3.1 GB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q stockml flows tasks deployments # once, as pip does with what it installs otherwise
	@touch $@

.venv/test.stamp: .venv/run.stamp requirements-test.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-test.lock
	@touch $@
