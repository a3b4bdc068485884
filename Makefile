# `make setup` builds .venv from requirements.lock; the other targets call it. `.venv/bin/mcal` is the command.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PYTHON ?= python3
PYTHON_VERSION ?= >=3.11
ARGS ?=

# uv from PATH, or a private one below .tools; the demo needs it too, for Label Studio's own environment.
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
export PATH := $(CURDIR)/.tools/bin:$(PATH)

PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo test test-fast test-contracts test-browser test-e2e lint check format lock clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## / /' | awk '{ name = $$1; $$1 = ""; printf "%-16s%s\n", name, $$0 }'

setup: $(STAMP) ## build .venv from requirements.lock and install the project into it

$(STAMP): requirements.lock pyproject.toml | $(UV)
	@[ -x $(BIN)/python ] || $(UV) venv --quiet --python '$(PYTHON_VERSION)' $(VENV)
	@echo "installing the locked requirements into $(VENV)"
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $(STAMP)

.tools/bin/uv:
	@echo "uv is not on PATH: installing a private one into .tools"
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

demo: setup ## the whole product on real digits with a real Label Studio, e.g. ARGS="--exit --json out.json"
	@exec $(BIN)/mcal demo $(ARGS)

test: setup ## every test, the fast ones first
	@failed=0; \
	$(PYTEST) -n 2 -m "not contract and not e2e and not browser" $(ARGS) || failed=1; \
	$(PYTEST) -m contract $(ARGS) || failed=1; \
	$(PYTEST) -m browser $(ARGS) || failed=1; \
	$(PYTEST) -m e2e $(ARGS) || failed=1; \
	exit $$failed

test-fast: setup ## unit tests: no network, no servers
	@exec $(PYTEST) -n 2 -m "not contract and not e2e and not browser and not slow" $(ARGS)

test-contracts: setup ## the port to Label Studio, fake and real
	@exec $(PYTEST) -m contract $(ARGS)

test-e2e: setup ## whole campaigns on a real Label Studio, with kills and outages
	@exec $(PYTEST) -m e2e $(ARGS)

test-browser: setup ## the pages in a real Chromium
	@exec $(PYTEST) -m browser $(ARGS)

lint: setup ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

check: lint ## lint, types, layers
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## let ruff fix and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: | $(UV) ## write requirements.lock anew from pyproject.toml
	@$(UV) pip compile --quiet --universal --generate-hashes --all-extras --group dev --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml -o requirements.lock

clean: ## remove what was built; your data directory stays
	@rm -rf $(VENV) .tools build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
