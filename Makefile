# What people type: see README.md. Everything is installed into .venv from requirements.lock, by hash.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup protos demo test test-fast lint format up down bench chaos sim docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(STAMP): requirements.lock pyproject.toml protos/build_hook.py protos/generate.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "confserv needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version 2>&1); set PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "the venv module is missing: on Debian or Ubuntu, install the package python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (the first time takes about a minute)"
	@$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# generated code is as new as the newest proto
gen/.generated: $(STAMP) $(shell find protos -name '*.proto')
	@$(BIN)/python protos/generate.py
	@touch $@

setup: $(STAMP) gen/.generated ## install everything into .venv

protos: setup ## generate gen/ from protos/

demo: setup ## the whole story on a local cluster, checked step by step
	@$(BIN)/confserv-cluster demo

test: setup ## all tests; says what it left out and why
	@$(BIN)/pytest -n 2 --dist loadgroup

test-fast: setup ## the tests that start no process
	@$(BIN)/pytest -n 2 tests/unit tests/sim tests/contract tests/packaging

lint: setup ## ruff, mypy --strict, import contracts, buf lint, format and breaking
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@tools/buf-breaking $(BIN)/buf

format: setup ## format Python and protos
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format -w

up: setup ## a local cluster that stays, below .cluster/
	@$(BIN)/confserv-cluster up --detach

down: setup ## stop it
	@$(BIN)/confserv-cluster down

bench: setup ## benchmarks beside peers; ONLY=P-1,P-2 runs some
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

chaos: setup ## long fault runs on real processes; ROUNDS=n SEED=s
	@$(BIN)/python -m tests.chaos $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))

sim: setup ## long simulated fault runs; SEEDS=n
	@$(BIN)/python -m tests.sim $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED))

docs: setup ## pages that are made from code
	@$(BIN)/python docs/generate.py

lock: ## resolve requirements.lock anew (needs uv on PATH)
	@uv pip compile --quiet --universal --python-version 3.11 --extra cluster --extra dev --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock

clean: ## remove everything that was made here, .cluster/ included
	@rm -rf .venv gen build dist .cluster .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
