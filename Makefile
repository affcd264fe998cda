# Everything from a fresh clone with nothing but make and Python 3.11 or 3.12.
PYTHON ?= $(firstword $(foreach p,python3 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install -c constraints.txt

.PHONY: demo test test-slow lint demo-check bench docs clean

# Human feedback into a better language model, on the pocket world: minutes, ends in runs/pocket/report.html
demo: $(READY)
	$(BIN)/plaudit demo

# Two workers of one thread each: more threads would only fight over two cores. A file is one worker's, so that what
# its tests share is made once; in the order of the folders, because the files that take longest are not the last ones.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

# What takes minutes, and every property on examples that are drawn anew.
test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile=random

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The demo at one seed, held to all its bars.
demo-check: $(READY)
	$(BIN)/python tests/demo_check.py

# plaudit against TRL on the same work; resumable; the first start makes the peer's environment (1.5 GB).
bench: $(READY)
	$(BIN)/python benchmarks/run.py

# Writes docs/cli.md from what `--help` says.
docs: $(READY)
	$(BIN)/python tests/cli/reference.py

clean:
	rm -rf $(VENV) build src/*.egg-info .mypy_cache .ruff_cache .hypothesis

# torch comes first and by itself: where pip offers a CPU build, no other package can then pull another.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "plaudit needs Python 3.11 or 3.12: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "setting up $(VENV) (minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) -e '.[dev]'
	@touch $@
