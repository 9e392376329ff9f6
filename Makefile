# One word per action. Every target that needs the environment makes it first: `.venv` follows
# requirements-dev.lock, whose hashes are verified. The first build compiles llama.cpp.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=

# GGML_NATIVE=OFF: the default build crashed on quantised models on a CPU with AMX.
export CMAKE_ARGS ?= -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || echo 2)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo up test slow browser check fix lock train wheel

help: ## what each word does
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## the whole loop on this machine: no key, no network
	$(BIN)/penstock demo $(ARGS)

up: $(READY) ## everything from penstock.yaml
	$(BIN)/penstock up $(ARGS)

test: $(READY) ## the fast suite
	$(BIN)/python -m pytest -n auto --dist loadscope $(ARGS)

slow: $(READY) ## the long faults and statistics
	$(BIN)/python -m pytest -m slow $(ARGS)

browser: ## Debian's Chromium, for the browser tests; without it they are skipped
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null; } || \
		{ echo "The browser tests need Chromium: sudo apt-get install chromium fonts-dejavu-core"; exit 2; }
	@command -v chromium >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; }

check: $(READY) ## lint, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY) ## what lint and format can mend by themselves
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

wheel: $(READY) ## dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
lock: $(READY) ## write the lock files anew
	$(COMPILE) pyproject.toml --extra oidc -o requirements.lock
	$(COMPILE) pyproject.toml --extra oidc --group dev -o requirements-dev.lock
	$(COMPILE) requirements-train.in -o requirements-train.lock

train: .venv-train/.ready $(READY) ## train the sandbox's model and write its card
	.venv-train/bin/python -m dataplane.sandbox.train $(ARGS)
	$(BIN)/python -m dataplane.sandbox.model_card

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Penstock needs Python 3.11 or newer: install it, or name it by make PYTHON=python3.12"; exit 2; }
	@command -v cc >/dev/null && command -v c++ >/dev/null || \
		{ echo "Penstock compiles llama.cpp: install a C and C++ compiler (Debian: apt-get install build-essential)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 2; }
	@echo "Installing from requirements-dev.lock; the first time llama.cpp is compiled (3 to 10 minutes on two cores)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@

.venv-train/.ready: requirements-train.lock
	@test -x .venv-train/bin/python || $(PYTHON) -m venv .venv-train || { rm -rf .venv-train; exit 2; }
	@.venv-train/bin/python -m pip install --quiet --require-hashes -r requirements-train.lock
	@touch $@
