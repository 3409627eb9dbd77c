# `make help` lists the targets. They expect .venv as scripts/test makes it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN := .venv/bin
PYTEST_ARGS ?=
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
# Directories with Python in them; mypy stops at one without.
TYPED := $(sort $(foreach top,agent collectors detectors tests bench scripts,$(if $(shell find $(top) -name '*.py' -print -quit 2>/dev/null),$(top))))

.PHONY: help check format-check lint types imports docs-check test live test-vm format docs pictures bench lock

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

check: format-check lint types imports docs-check test  ## everything that CI runs; the tests come last

format-check:  ## formatted as `make format` does it
	$(BIN)/ruff format --check .

lint:  ## ruff, every rule but those that pyproject.toml leaves out
	$(BIN)/ruff check .

types:  ## mypy --strict, tests included
	$(BIN)/mypy $(TYPED)

imports:  ## imports go one way
	NO_COLOR=1 $(BIN)/lint-imports

docs-check:  ## the generated reference is up to date
	$(BIN)/python scripts/reference.py --check

test:  ## every test; PYTEST_ARGS="-k name" for some
	$(BIN)/python -m pytest $(PYTEST_ARGS)

live:  ## only the live tests: real containers, real escapes; as root
	$(BIN)/python -m pytest -m live $(PYTEST_ARGS)

test-vm:  ## the live tests on Debian's kernel, in a virtual machine that it makes; as root, an hour or two without KVM
	scripts/vm/run $(PYTEST_ARGS)

format:  ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs:  ## write the generated reference
	$(BIN)/python scripts/reference.py

pictures:  ## take the README's pictures anew, of a real run; as root
	$(BIN)/python -m scripts.screenshots

bench:  ## print what watching costs on this machine
	$(BIN)/python -m bench

lock:  ## resolve the dependencies anew, to the newest that pyproject.toml allows
	$(PIP_COMPILE) --extra dev --output-file requirements-dev.lock pyproject.toml
	$(PIP_COMPILE) --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml
	$(PIP_COMPILE) --constraint requirements-dev.lock --only-build-deps --build-deps-for wheel \
		--build-deps-for editable --output-file requirements-build.lock pyproject.toml
