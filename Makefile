# Everything from a fresh clone with nothing but Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-slow lint demo-check bench docs clean

demo: $(READY)
	$(BIN)/plaudit demo

# Two workers with one thread each: more threads would fight over two cores.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The demo at one seed, held to all its bars.
demo-check: $(READY)
	$(BIN)/python tests/demo_check.py

bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/sampling.py

docs: $(READY)
	$(BIN)/python tests/cli/reference.py --write

clean:
	rm -rf $(VENV) build src/*.egg-info .mypy_cache .ruff_cache

# torch comes first and by itself: where pip offers a CPU build, no other package can then pull another.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("plaudit needs Python 3.11 or 3.12" if sys.version_info < (3, 11) else 0)'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -c constraints.txt torch
	$(BIN)/python -m pip install -q $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	touch $(READY)
