# Everything runs from .venv, made on first use and made anew only when the requirements change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?=
# Processes that test, or check types; each takes a gigabyte.
JOBS ?= 2
# Whose builds of torch are in the image: cpu, or cu130 for NVIDIA's GPUs.
TORCH ?= cpu

export OMP_WAIT_POLICY ?= PASSIVE

# For `make test-newest`: the newest Python in PATH or of pyenv, or the one you name.
TELL := import sys; sys.stdout.write("%d.%d %s\n" % (sys.version_info[:2] + (sys.executable,)))
PYTHON_NEWEST ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 $(HOME)/.pyenv/versions/*/bin/python; do \
	$$python -c '$(TELL)' 2>/dev/null; done | sort -V | tail -n 1 | cut -d " " -f 2)

.PHONY: setup demo test test-all test-newest mutants lint measures bench bench-gpu results motions image tour clean

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make environments:" \
		"install its venv module (Debian, Ubuntu: apt install python3-venv), or make PYTHON=..."; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

demo: $(READY)
	$(BIN)/python demo.py $(if $(DATA),--data "$(DATA)")

test: lint
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow"

test-all: lint
	$(BIN)/python -m pytest -n $(JOBS)

# The newest release of everything that pyproject.toml allows; requirements.txt pins what the other tests run with.
test-newest:
	@test -n "$(PYTHON_NEWEST)" || { echo "no Python is at hand: make test-newest PYTHON_NEWEST=..."; exit 2; }
	$(PYTHON_NEWEST) -m venv $(VENV).newest
	$(VENV).newest/bin/python -m pip install --quiet --disable-pip-version-check \
		--upgrade --upgrade-strategy eager -e ".[dev]"
	$(VENV).newest/bin/python -m pip list
	$(VENV).newest/bin/python -m pytest -n $(JOBS) -m "not slow"

# Changes in the method's files that no test tells from the original; minutes.
mutants: $(READY)
	$(BIN)/python -m tests.mutants

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers $(JOBS)

measures: $(READY)
	$(BIN)/python -m tests.support.measures rspnet stages

bench: $(READY)
	$(BIN)/python benchmarks/decode.py $(DATA) $(KEEP:%=--json results/decode.json)
	$(BIN)/python benchmarks/loader.py $(DATA) $(KEEP:%=--json results/loader.json)
	$(BIN)/python benchmarks/transcode.py $(DATA) $(KEEP:%=--json results/transcode.json)
	$(BIN)/python benchmarks/extract.py $(KEEP:%=--json results/extract.json)
	$(BIN)/python benchmarks/train_step.py $(KEEP:%=--json results/train_step.json)

# All that a GPU can tell, in a few minutes. WITH: a Python that has the packages, where there is no network for .venv.
MINUTES ?= 6
OUT ?= results
bench-gpu: $(if $(WITH),,$(READY))
	PYTHONPATH=$(CURDIR) $(or $(WITH),$(BIN)/python) benchmarks/gpu.py --minutes $(MINUTES) --out $(OUT) $(if $(DATA),--data "$(DATA)")

# The measured numbers of the documentation, in results/: a day on a laptop. Studies go on where they were stopped; what
# is in their files of results is not run again. JHMDB, HOCKEY: folders of these data sets; MORE: one of videos without
# labels; DATA: some videos as they were shot. `make bench-gpu` records those of a GPU.
JHMDB ?=
HOCKEY ?=
MORE ?=
STUDIES := $(basename $(notdir $(wildcard benchmarks/studies/*.yaml)))
results: $(STUDIES:%=results-%)
	$(BIN)/python benchmarks/controls.py runs/studies/data/jhmdb_inner_*[0-9a-f].jsonl --json results/controls.json
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/launches.py --json results/launches.json
	$(BIN)/python benchmarks/scaling.py --json results/scaling.json
	$(BIN)/python benchmarks/train.py $(JHMDB) --json results/train.json
	$(MAKE) bench KEEP=1
	$(BIN)/python benchmarks/report.py

results-%: $(READY)
	$(BIN)/python benchmarks/study.py $* --data jhmdb="$(JHMDB)" hockey="$(HOCKEY)" more="$(MORE)" motions=runs/demo/motions

results-demo: motions
motions: $(READY)
	$(BIN)/python stages/synthetic.py runs/demo/motions

# Needs docker, and the network.
image:
	docker build --build-arg TORCH=$(TORCH) --tag rspnet .

tour: $(READY)
	rm -rf notebooks/runs/tour
	$(BIN)/jupyter execute --inplace notebooks/tour.ipynb

clean:
	rm -rf runs/demo $(VENV) $(VENV).newest
