# Two commands for a fresh machine with Python 3.11+, g++ and make: `make demo` and `make test`. Both set everything up in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: demo test check rtl lint format docs clean setup

demo: setup  ## the main job on the shipped jet tagger: ONNX in, verified Verilog out
	$(BIN)/rtl4ml build examples/models/jet_tagger.onnx --output build --reuse 4 --verify --bench \
		--data examples/data/jets_test.npz --labels

test: check rtl  ## everything: lint, types, unit tests, then the tests that build simulations

check: lint  ## the fast ones, to run all the time
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not rtl"

rtl: setup
	$(BIN)/python -m pytest -q -n $(JOBS) -m rtl

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## the documentation site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python must be 3.11 or later, not $$($(PYTHON) --version): set PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

clean:
	rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
