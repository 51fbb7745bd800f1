# Two commands for a fresh clone: `make run` and `make test`. Both need Python 3.11, 3.12 or 3.13, pip and make, and
# both may be repeated. CORES and ARGS are passed on:  make run CORES=8 ARGS="--configfile configs/paper.yaml"

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
VENV := .venv
BIN := $(VENV)/bin

DFT := .venv-dft

.PHONY: run test unit lint docs environment dft-environment clean

run: environment
	$(BIN)/snakemake --cores $(CORES) $(ARGS)

# two tests at a time
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test: environment
	$(PYTEST) $(ARGS)

# the fast part: no workflow is run
unit: environment
	$(PYTEST) tests/unit $(ARGS)

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
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit(1)' || \
		{ echo "error: Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# GPAW, for `dft: {engine: gpaw}`: compiled in some two minutes
dft-environment: $(DFT)/ready

$(DFT)/ready: envs/dft.txt envs/gpaw_siteconfig.py
	@printf '#include <xc.h>\n#include <fftw3.h>\n#include <cblas.h>\n' | g++ -E -x c++ - >/dev/null 2>&1 || \
		{ echo "error: GPAW needs g++, libxc, OpenBLAS and FFTW; on Debian and Ubuntu: apt-get install g++ libxc-dev libopenblas-dev libfftw3-dev; elsewhere name Python with GPAW in dft.command" >&2; exit 1; }
	$(PYTHON) -m venv $(DFT)
	GPAW_CONFIG=$(CURDIR)/envs/gpaw_siteconfig.py $(DFT)/bin/python -m pip install --quiet --disable-pip-version-check -r envs/dft.txt
	$(DFT)/bin/python -c "import gpaw; print('GPAW', gpaw.__version__)"
	touch $@

clean:
	rm -rf $(VENV) $(DFT) results .snakemake
