PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BASELINE := .venv-baseline
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Without its warnings about every part of a text in which a `nosec` found nothing to excuse.
BANDIT := $(BIN)/python -c 'import logging; from bandit.cli.main import main; logging.disable(logging.WARNING); main()'
SHIPPED := domain application projections web workers migrations
ARGS ?=
EXAMPLES ?= 25

# pip itself stays as the environment brought it, so it is the one thing not pinned here.
COMPILE := CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/pip-compile --quiet --generate-hashes \
	--strip-extras --unsafe-package pip \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.DEFAULT_GOAL := help
.PHONY: help install demo test fuzz crash bench lint format requirements clean
# A stamp of a failed installation must not pass for a finished one.
.DELETE_ON_ERROR:

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed-dev ## Make the environment in .venv, for development and tests

demo: $(VENV)/.installed ## Run a small festival on SQLite, nothing else needed (ARGS=--once: load, print, end)
	$(BIN)/turnstile demo $(ARGS)

test: $(VENV)/.installed-dev ## Run the tests (ARGS="tests/domain -k refund" for some of them)
	$(BIN)/pytest $(ARGS)

fuzz: $(VENV)/.installed-dev ## Try the API against its own description, at random (EXAMPLES=1000 for each operation)
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest --timeout 0 tests/contract/test_schema.py $(ARGS)

crash: $(VENV)/.installed-dev ## Kill parts of a box office under load, and examine it (ARGS="--seconds 600 --seed 7")
	$(BIN)/python -m tests.crash $(ARGS)

bench: $(VENV)/.installed-dev $(BASELINE)/.installed ## Measure, beside what others do (ARGS=quick: under two minutes; ARGS=--help)
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.installed-dev ## Check style, format, types, imports, weaknesses and known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BANDIT) --quiet --recursive --configfile pyproject.toml $(SHIPPED)
	$(BIN)/python -m tests.audit

format: $(VENV)/.installed-dev ## Put the code into its standard format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

requirements: $(VENV)/.installed-dev ## Pin requirements*.txt again from requirements*.in (ARGS=--upgrade: newest versions)
	$(COMPILE) $(ARGS) --output-file requirements.txt requirements.in
	$(COMPILE) $(ARGS) --constraint requirements.txt --output-file requirements-dev.txt \
		requirements.in requirements-dev.in
	$(COMPILE) $(ARGS) --output-file benchmarks/baseline/requirements.txt benchmarks/baseline/requirements.in

clean: ## Remove the environment, caches and build output
	rm -rf $(VENV) $(BASELINE) .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "Turnstile needs Python 3.11, and there is no '$(PYTHON)' on the PATH." >&2; \
		echo "Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "Turnstile needs Python 3.11; '$(PYTHON)' is not that." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Building the project needs the setuptools that the requirements have just brought.
$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	touch $@

# Holds everything that .installed stands for, so it sets both stamps.
$(VENV)/.installed-dev: requirements-dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements-dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	touch $(VENV)/.installed $@

# What the benchmarks measure against needs another PostgreSQL driver than Turnstile.
$(BASELINE)/.installed: benchmarks/baseline/requirements.txt | $(BIN)/python
	$(PYTHON) -m venv $(BASELINE)
	$(BASELINE)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $<
	touch $@
