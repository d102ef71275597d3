# Everything runs in .venv, which the targets make and keep up to date. Variables:
#   PYTHON       the Python (3.11 or newer) that makes .venv               (python3)
#   TORCH_INDEX  an extra package index for torch. Where pip would bring the CUDA build, this one
#                has the small CPU build: https://download.pytorch.org/whl/cpu            (none)
#   PYTEST_ARGS  what to add to pytest's command line, such as "-k mcmc"                  (none)

PYTHON ?= python3
TORCH_INDEX ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# The constraint on torch binds every installation: pip then never swaps one build for another.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab apps demo docs test lint clean distclean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

lab: $(VENV)/.lab  ## Install the laboratory and open it in JupyterLab
	$(BIN)/jupyter lab notebooks/00_index.ipynb

apps: $(VENV)/.apps  ## Serve the notebooks as apps without code
	cd notebooks && ../$(BIN)/voila .

demo: $(VENV)/.plain  ## Install the package alone and run its demonstration into demo/
	$(BIN)/sedflow-lab demo --out demo

docs: $(VENV)/.docs  ## Build the documentation into build/docs; any warning is an error
	$(BIN)/python -m sphinx -c docs -W --keep-going . build/docs
	@echo "Open build/docs/index.html"

test: $(VENV)/.dev lint  ## Check style and types, then run every test
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## Check style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## Remove caches, builds and the demonstration's output
	rm -rf build dist demo .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -type d \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

distclean: clean  ## Remove the environment too
	rm -rf $(VENV)

# Stamp files: an installation is repeated only after what it depends on has changed.

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "sedflow_lab needs Python 3.11 or newer, and there\
	 is no $(PYTHON): install it, or name another with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sedflow_lab needs\
	 Python 3.11 or newer, but $(PYTHON) is older: name another with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual\
	 environments: install its venv module (python3-venv on Debian and Ubuntu)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: constraints.txt | $(VENV)/.python
	$(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/.plain: pyproject.toml $(VENV)/.torch
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.lab: pyproject.toml $(VENV)/.torch
	$(INSTALL) --editable ".[lab]"
	@touch $@

$(VENV)/.apps: pyproject.toml $(VENV)/.torch
	$(INSTALL) --editable ".[apps]"
	@touch $@

$(VENV)/.docs: pyproject.toml $(VENV)/.torch
	$(INSTALL) --editable ".[docs]"
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	$(INSTALL) --editable ".[dev]"
	@touch $@
