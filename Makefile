# `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONFIG ?= configs/quickstart.yaml
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup run accept test test-slow lint format lock bench clean

help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP)  ## make .venv from the pinned requirements

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@if [ ! -x $(BIN)/python ]; then $(PYTHON) -m venv $(VENV); fi
	@echo "Installing the pinned requirements (about 6 GB, a few minutes) ..."
	$(BIN)/pip install -q --require-hashes -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation --editable .
	@touch $@

run: $(STAMP)  ## run the quickstart, or CONFIG=my.yaml, and print where the report lies
	$(BIN)/dpa-sse run $(CONFIG)

accept: $(STAMP)  ## compare the finished quickstart with what it promises
	$(BIN)/python -m tests.accept_quickstart runs/quickstart

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest

test-slow: $(STAMP)  ## run the tests that take minutes each
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)  ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP)  ## sort imports and apply the safe corrections of ruff
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## measure what the project promises of itself
	$(BIN)/python -m bench

lock:  ## pin the requirements anew (needs uv)
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header \
	  requirements.in -o requirements.txt
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header \
	  requirements-dev.in -o requirements-dev.txt

clean:  ## remove caches (not .venv, not runs)
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache *.egg-info
