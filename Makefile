# Each target sets up .venv when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile
STAMP := $(VENV)/.installed
# The oldest torchattacks that is served, and the newest.
TORCHATTACKS := 3.3.0 3.5.1

.PHONY: demo test test-fast test-torchattacks test-installs check docs install clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/bench run suites/problem_b.yaml

test: $(STAMP)
	$(PYTEST)

test-fast: $(STAMP)
	$(PYTEST) -m "not slow and not gpu and not browser"

test-torchattacks: $(TORCHATTACKS:%=$(VENV)/torchattacks-%)
	for version in $(TORCHATTACKS); do \
		PYTHONPATH=$(abspath $(VENV))/torchattacks-$$version TORCHATTACKS=$$version $(PYTEST) \
			tests/oracles/test_linear_attacks.py tests/plugins/test_attack_contract.py || exit 1; \
	done

$(VENV)/torchattacks-%: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ torchattacks==$*
	@touch $@

# 3.5.1 holds requests back by years; with 3.3.0 the package stands beside what current tools ask for.
test-installs: $(STAMP)
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed . torchattacks==3.5.1
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed . torchattacks==3.3.0 \
		'requests>=2.32' notebook wandb mkdocs-material

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/render.py --check
	$(MAKE) test
	$(MAKE) test-torchattacks

docs: $(STAMP)
	$(BIN)/python docs/render.py

clean:
	rm -rf $(VENV) .bench
