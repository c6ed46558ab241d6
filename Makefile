# What people and the gate run. `make` alone lists it.
#
# Variables: PYTHON       interpreter that makes the environment (3.10 to 3.13)
#            TORCH_INDEX  package index for PyTorch besides pip's own, as https://download.pytorch.org/whl/cpu
#            VENV         folder of the environment
#            ARGS         further arguments, passed on to pytest

PYTHON ?= python3
TORCH_INDEX ?=
VENV ?= .venv
ARGS ?=

# An environment is installed again when pyproject.toml is newer than its stamp.
INSTALLED := $(VENV)/.installed-dev
DOCS_INSTALLED := $(VENV)/.installed-docs
RUN := $(VENV)/bin/python -m

export PYTHON TORCH_INDEX

.DEFAULT_GOAL := help
.PHONY: help environment demo test lint docs gallery clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV) TORCH_INDEX=$(TORCH_INDEX) ARGS=$(ARGS)"

environment: $(INSTALLED) ## make the environment in VENV, or say that it is there
	@echo "== environment: $(VENV) is ready =="

demo: environment ## the embedded acceptance: two CPU servers and a tiny model, no device, minutes
	@echo "== demo: pytest --embedded, two CPU servers judged as if they were devices; report in gptoss-report/ =="
	$(RUN) pytest --embedded $(ARGS)

# Files keep their order: by default xdist puts those of few tests last, and these are the long ones.
test: environment ## the project's own tests, the acceptance tests left out
	@echo "== test: the tests of this project =="
	$(RUN) pytest tests --ignore=tests/acceptance -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: environment ## ruff and mypy
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

docs: $(DOCS_INSTALLED) ## the documentation's site in site/
	$(RUN) mkdocs build --strict

gallery: environment ## sample reports and their screenshots (needs Chromium)
	$(VENV)/bin/python tools/gallery.py

clean: ## remove .venv, reports, builds and caches
	rm -rf .venv gptoss-report site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.vllm/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@sh tools/environment.sh $(VENV) dev
	@touch $@

$(DOCS_INSTALLED): pyproject.toml $(INSTALLED)
	@sh tools/environment.sh $(VENV) dev,docs
	@touch $@
