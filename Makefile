# Two commands for a fresh clone: `make run` and `make test`. Both need Python 3.11 to 3.13, pip and make, and
# both may be repeated. CORES and ARGS are passed on:  make run CORES=8 ARGS="--configfile configs/paper.yaml"

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test unit lint docs environment clean

run: environment
	$(BIN)/snakemake --cores $(CORES) $(ARGS)

test: environment
	$(BIN)/python -m pytest $(ARGS)

# the fast part: no workflow is run, and two tests run at a time
unit: environment
	$(BIN)/python -m pytest -n 2 tests/unit $(ARGS)

# style, types, arrows of import, examples in docstrings, the workflow
lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet --doctest-modules cgwgan_core
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

# the pages that follow from definitions: docs/CONFIGURATION.md, docs/TABLES.md
docs: environment
	$(BIN)/python -m cgwgan_core.workflow.reference

environment: $(VENV)/ready

# made again only when the lock or the package's own description changes
$(VENV)/ready: envs/lock.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) results .snakemake
