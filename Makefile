# Everything runs from .venv, made on first use and made anew only when the requirements change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?=

export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: setup demo test test-all lint bench clean

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

demo: $(READY)
	$(BIN)/python demo.py $(if $(DATA),--data "$(DATA)")

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)
	$(BIN)/python benchmarks/decode.py $(DATA)
	$(BIN)/python benchmarks/loader.py $(DATA)
	$(BIN)/python benchmarks/transcode.py $(DATA)

clean:
	rm -rf runs/demo $(VENV)
