# stockml: the few commands, which `make help` lists.

# The first Python from 3.11 to 3.13 that can make an environment. With uv on the PATH: uv's choice.
UV := $(shell command -v uv)
PYTHON ?= $(if $(UV),>=3.11$(comma)<3.14,$(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && exit; done; echo python3))
BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
TICKER ?= IBM
# sections of requirements.lock beyond those that `make run` needs: those asked for once are kept
EXTRAS ?= $(shell cat .venv/extras 2>/dev/null)
comma := ,

# uncompiled, a night's imports would take seconds more
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run lint check test campaign up bench fmt lock newest audit clean extras anew
.DEFAULT_GOAL := run

help: ## these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/run.stamp ## one night, end to end: recorded prices, or Alpha Vantage's with a key; TICKER=MSFT for another
	@$(BIN)/python -m deployments.cli nightly $(TICKER)

check: lint ## before every commit: linters, types, layers, quick tests; at most 90 seconds
	$(PYTEST) --numprocesses 2 -m "not slow and not campaign"

test: lint ## what a release needs: `check`, trainings, servers, a browser; about 10 minutes
	$(PYTEST)

campaign: .venv/test.stamp newest ## weekly: many kills and flipped bits, a year of nights, the newest packages; hours
	$(BIN)/python -m tests.faults.campaign --flows 20
	$(BIN)/python -m tests.bench.year
	$(PYTEST) -m campaign
	$(PYTEST) -m hypothesis --hypothesis-profile long

lint: .venv/test.stamp ## linters, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict stockml flows tasks deployments
	$(BIN)/lint-imports

up: .venv/run.stamp ## the Prefect and MLflow pages, and a worker; Ctrl-C stops all
	@$(BIN)/python -m deployments.cli up

bench: .venv/test.stamp ## speed and memory figures; FAST=1 for a short run
	$(BIN)/python -m tests.bench $(if $(FAST),--fast)

fmt: .venv/test.stamp ## format and sort
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

extras: .venv/made.stamp ## install optional packages: EXTRAS="postgres gpu"
	@echo $(EXTRAS) > .venv/extras
	@rm -f .venv/run.stamp
	@$(MAKE) --no-print-directory .venv/run.stamp

audit: .venv/test.stamp ## known vulnerabilities of the locked packages
	$(BIN)/pip-audit --require-hashes --disable-pip --strict -r requirements.lock

lock: .venv/run.stamp ## choose every package anew, for Python 3.11 to 3.13
	@$(BIN)/python -m tests.lock

newest: .venv/test.stamp ## try the newest releases that pyproject.toml allows, in an environment apart
	@$(BIN)/python -m tests.newest

clean: ## remove the environment; STOCKML_HOME stays
	rm -rf .venv build *.egg-info

# made anew if its Python has gone, as an upgrade of the system's leaves it
.venv/made.stamp: $(if $(wildcard .venv/made.stamp),$(shell $(BIN)/python -c '' 2>/dev/null || echo anew))
	@echo "making .venv with $(if $(UV),uv and )Python $(PYTHON)"
ifdef UV
	@$(UV) venv --quiet --clear --python '$(PYTHON)' .venv
else
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"expected Python 3.11 to 3.13, found {v[0]}.{v[1]}; name one with make PYTHON=...")'
	@$(PYTHON) -m venv --clear .venv
	@$(call locked,install)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--requirement .venv/locked.txt || { $(FAILED) }
endif
	@touch $@

.venv/run.stamp: .venv/made.stamp requirements.lock pyproject.toml
	@echo "installing the locked packages (about a minute, 2.3 GB)"
	@$(call sync,install run $(EXTRAS))
	@touch $@

.venv/test.stamp: .venv/run.stamp
	@$(call sync,install run postgres dask test)
	@touch $@

# The lock alone says what is installed: nothing is resolved. What it does not name is removed.
# With `gpu`, TensorFlow comes whole: its part for CPUs would write into the same folder.
locked = awk -v asked=' $(1) ' '/^\# section: / { on = index(asked, " " $$3 " ") } /^[a-z]/ { skip = /^tensorflow-cpu/ } \
	on && !(skip && index(asked, " gpu "))' requirements.lock > .venv/locked.txt
sync = $(call locked,$(1)) \
	&& $(INSTALL) sync --python $(BIN)/python --require-hashes .venv/locked.txt \
	&& $(INSTALL) install --python $(BIN)/python --no-deps --no-build-isolation --editable . \
	|| { $(FAILED) }
INSTALL = $(or $(UV),$(BIN)/uv) --quiet pip
FAILED = echo "stockml is not installed yet, for the reason above. Needed: a network, and 2.5 GB free" \
	"here and 1 GB in the home folder. The same command goes on from where it stopped."; exit 1;
