# Targets: demo test check fix docs bench. They need python3 (3.11 or newer) with venv, and no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --constraint .ci/constraints.txt
.DEFAULT_GOAL := help
.PHONY: help demo test check fix docs bench install

help:
	@echo "make demo   analyze the composed sample log"
	@echo "make test   run the tests"
	@echo "make check  lint, format, types, import layers, generated documentation"
	@echo "make fix    repair what ruff can repair"
	@echo "make docs   write the generated parts of README.md again"
	@echo "make bench  time a million lines beside a plain JSON loop"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11"; echo "hint: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable .
	@$(BIN)/python -m costplan.ingest.plain  # compiles the loops for long logs, once
	@touch $@

# the dev extra includes the runtime, hence both stamps
$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@$(BIN)/python -m costplan.ingest.plain
	@touch $(VENV)/.runtime $@

install: $(VENV)/.dev

demo: $(VENV)/.runtime
	$(BIN)/costplan analyze traces/demo.jsonl.gz

test: $(VENV)/.dev
	$(BIN)/pytest -n 2

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/cog -I . --check README.md docs/commands.md docs/formats.md

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.dev
	$(BIN)/cog -I . -r README.md docs/commands.md docs/formats.md

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.analyze
