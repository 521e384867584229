# make demo     two VMs and the containers inside them, from a bare machine
# make test     everything: unit, conformance, and live tests on real Docker, Podman and libvirt
# make check    types, style, generated pages
# make bench    measurements, as ratios in docs/benchmarks.md
# make soak     the full counts of the sampled tests
# make conformance CASES=folder   language cases that are kept outside the repository
# make clean    what the others made here

SHELL := /bin/bash
PYTHON := .venv/bin/python
CASES ?=
PYTEST_ARGS ?=
# two workers; tests/conftest.py has who may run beside whom
WORKERS ?= -n 2 --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench soak conformance docs clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup:
	@scripts/setup.sh test

demo:
	@scripts/demo.sh

test: setup
	@scripts/engines.sh
	$(PYTHON) -m pytest $(WORKERS) $(PYTEST_ARGS)

soak: setup
	@scripts/engines.sh
	HYTHE_SOAK=1 HYTHE_SOAK_FUZZ=3600 HYTHE_SOAK_KILLS=50 HYTHE_SOAK_CRASHES=300 HYTHE_SOAK_FLEET=20 HYTHE_SOAK_PARALLEL=10 $(PYTHON) -m pytest $(PYTEST_ARGS)

conformance: setup
	HYTHE_CONFORMANCE="$(CASES)" $(PYTHON) -m pytest tests/conformance $(PYTEST_ARGS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy -p hythe
	$(PYTHON) scripts/kinddocs.py --check
	$(PYTHON) scripts/functiondocs.py --check

docs: setup
	$(PYTHON) scripts/kinddocs.py
	$(PYTHON) scripts/functiondocs.py

bench: setup
	@scripts/engines.sh
	$(PYTHON) benchmarks/run.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov .venv .setup.lock *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +
