# make test    everything that CI runs: formatting, lint, types, tests
# make demo    compile the embedded network for every target, verify it, print one table
# make bench   time layers and networks beside other runtimes; writes benchmarks/README.md (some minutes)
# make check   the checks of `make test` that run nothing: formatting, lint, types
# make clean   remove caches and build products; .venv stays
#
# The first run makes .venv and installs into it; an edit of pyproject.toml or constraints.txt installs again.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: test demo bench check clean

# Two processes or more: each has half of the tests, in order, and takes from the other's when it is done.
test: check
	@$(BIN)/pytest --quiet --numprocesses auto --maxprocesses 4 --dist worksteal

demo: $(INSTALLED)
	@$(BIN)/intlower demo

# OpenVINO is one of the peers; where it cannot be installed, its column stays empty.
bench: $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[bench]' || true
	@mkdir -p benchmarks/results
	@$(BIN)/intlower bench kernels --against onnxruntime,onnxruntime-saturating --json \
		>benchmarks/results/kernels.json
	@$(BIN)/python -W ignore benchmarks/models.py
	@$(BIN)/python benchmarks/report.py

check: $(INSTALLED)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "intlower needs Python 3.11 or newer: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV), which may take a few minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
