# Needs Python 3.11 or newer and make; uv is used where it is installed, because it is faster.
#   make demo     the whole line on a simulated fleet, on this machine (ARGS=--once ends after the summary)
#   make test     everything that CI runs
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	if $$name -c '$(SUITABLE)' 2>/dev/null; then command -v $$name; break; fi; done)
CODE := careloop edge_agent ingest predictor scheduler api bench tests

.PHONY: demo test lint format schema lock install clean

demo: install
	@$(BIN)/careloop demo $(ARGS)

# Two workers, each with servers of its own: much of the suite waits.
test: lint
	$(BIN)/pytest -q --numprocesses 2 --dist worksteal

lint: install
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# After a migration was added: the readable picture of what they make together.
schema: install
	$(BIN)/python -m careloop.database.schema

# Hashes for Linux and macOS and every Python we support; no address of a registry, so any mirror will do. The second
# file is for the image: the same versions, without what only tests and the embedded stack need.
COMPILE := uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate
lock:
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	echo hatchling | $(COMPILE) --extra edge --extra ingest --extra predictor --extra scheduler --extra api \
		--constraint requirements.lock --output-file deploy/requirements.lock pyproject.toml -

install: $(VENV)/.installed

# Made anew when what it was made from changed; the mark comes last, so that a broken-off installation starts again.
$(VENV)/.installed: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "careloop needs Python 3.11 or newer; install it or run: make PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "installing into $(VENV) with $(PYTHON)"
	@rm -rf $(VENV)
	@if command -v uv >/dev/null; then \
		uv venv --quiet --python $(PYTHON) $(VENV) && \
		VIRTUAL_ENV=$(VENV) uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock && \
		VIRTUAL_ENV=$(VENV) uv pip install --quiet --no-deps --no-build-isolation -e . ; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@$(BIN)/python -m compileall -q $(filter-out tests,$(CODE))
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
