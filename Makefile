# Each target sets up .venv when it is missing or older than pyproject.toml; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile
FAST := -m "not slow and not gpu and not browser"
STAMP := $(VENV)/.installed
# The oldest torchattacks that is served, and the newest.
TORCHATTACKS := 3.3.0 3.5.1

.PHONY: help demo test test-all test-torchattacks test-installs check docs install clean

install: $(STAMP)  ## set up .venv

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## run suites/problem_b.yaml
	$(BIN)/bench run suites/problem_b.yaml

test: $(STAMP)  ## the tests that take seconds each
	$(PYTEST) $(FAST)

test-all: $(STAMP)  ## every test, those that take minutes too
	$(PYTEST)

test-torchattacks: $(TORCHATTACKS:%=$(VENV)/torchattacks-%)  ## the attacks, on the oldest and newest torchattacks
	for version in $(TORCHATTACKS); do \
		PYTHONPATH=$(abspath $(VENV))/torchattacks-$$version TORCHATTACKS=$$version $(PYTEST) \
			tests/oracles/test_linear_attacks.py tests/plugins/test_attack_contract.py || exit 1; \
	done

$(VENV)/torchattacks-%: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ torchattacks==$*
	@touch $@

# 3.5.1 holds requests back by years; with 3.3.0 the package stands beside what current tools ask for.
test-installs: $(STAMP)  ## whether the documented installs resolve
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed . torchattacks==3.5.1
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed . torchattacks==3.3.0 \
		'requests>=2.32' notebook wandb mkdocs-material

check: $(STAMP)  ## the whole discipline: format, lint, types, import contracts, rendered docs, test-all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/render.py --check
	$(MAKE) test-all
	$(MAKE) test-torchattacks

docs: $(STAMP)  ## render the tables, figures and references of README.md and docs/
	$(BIN)/python docs/render.py

clean:  ## remove .venv and .bench
	rm -rf $(VENV) .bench
