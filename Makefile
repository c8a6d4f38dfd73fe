# Everything happens in .venv; a first run installs it, with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
CUSTOMARY := .venv-metrics
RELEASE := .venv-release
# Python compiles what is imported when it first is; compiling every file of every package would take a minute.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types format fuzz mutants bench metrics docs gpu faults long cluster release clean

help: ## Show what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/installed ## Install, then train the first study on embedded data (a few minutes)
	$(BIN)/ablate grid demo --factors grl_pos,shuffle --design ofat
	@printf '\nFirst type: source %s/bin/activate\n' $(VENV)

test: $(VENV)/developing ## Install, then run the tests
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: lint types test ## Everything that CI checks

lint: $(VENV)/developing ## Check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/developing ## Check types
	$(BIN)/mypy

format: $(VENV)/developing ## Put the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Cases of each reader, in an hour or two; typed again after an interruption, it goes on where it was.
FUZZ_CASES := 20000

fuzz: $(VENV)/developing ## Hand every reader of user input thousands of broken files and texts
	ABLATE_FUZZ_CASES=$(FUZZ_CASES) ABLATE_FUZZ_RECORD=docs/fuzz.json $(BIN)/python -m pytest tests/fuzz --timeout 0

# Of each module of the core, so many; 0 is all (hours). OPTIONS="--area leases" asks for a part, --again for survivors.
MUTANTS := 40

mutants: $(VENV)/developing ## Change the core in small ways and count which changes the tests notice (an hour)
	$(BIN)/python -m tests.mutants --output docs/mutants.json --each $(MUTANTS) $(OPTIONS)

docs: $(VENV)/developing ## Build the pages as a site that needs no network, site/site/index.html
	$(BIN)/python docs/build_site.py

BENCHMARKS := training_step features scaling estimate grid_throughput harness_overhead own_subjects

bench: $(VENV)/developing $(PEERS)/installed ## Measure what docs/speed.md states (three quarters of an hour)
	for name in $(BENCHMARKS); do \
		$(PEERS)/bin/python -m benchmarks.$$name --output benchmarks/results/$$name.json || exit; \
	done
	$(BIN)/python -m benchmarks.table

# Random cases of each metric; what sed_scores_eval fails with is too new for ablate, and the other way round.
METRIC_CASES := 1000

metrics: $(CUSTOMARY)/installed ## Compare the metrics with sed_eval's and sed_scores_eval's (needs gcc, Python 3.11 or 3.12)
	$(CUSTOMARY)/bin/python -m benchmarks.metrics.compare --cases $(METRIC_CASES) --output benchmarks/results/metrics.json

# Where packages cannot be downloaded, WHEELS is a folder of those that PYTHON lacks; PYTHON itself stays as it is.
# OPTIONS="--device cpu --tiny" rehearses without a GPU.
OUTPUT := gpu-results
SECONDS := 420
GPU_SITE := .gpu-site

ifdef WHEELS
gpu: ## Test and measure all that needs a GPU, in 7 minutes (SECONDS=420 OUTPUT=gpu-results)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --upgrade \
		--target $(GPU_SITE) $(WHEELS)/*.whl
	PYTHONPATH=$(CURDIR)/$(GPU_SITE):$(CURDIR) $(PYTHON) -m benchmarks.gpu --output $(OUTPUT) --seconds $(SECONDS) $(OPTIONS)
else
gpu: $(VENV)/developing
	$(BIN)/python -m benchmarks.gpu --output $(OUTPUT) --seconds $(SECONDS) $(OPTIONS)
endif

faults: $(VENV)/developing ## Strike studies thousands of times, crash them everywhere, and count what is lost (hours)
	$(BIN)/python -m tests.faults.crash --output docs/crashes.json
	$(BIN)/python -m tests.faults --output docs/reliability.json

long: $(VENV)/developing ## Run the tests of which make test runs a small one of each kind
	$(BIN)/python -m pytest -m long -n 2 --timeout 1800

cluster: $(VENV)/developing ## Run studies on real clusters and servers of this machine, and break these
	$(BIN)/python -m pytest -m cluster -n 0 --timeout 1800

release: $(RELEASE)/installed ## Build wheel and sdist, and try them with the newest and the oldest packages (ten minutes)
	$(RELEASE)/bin/python -m tests.release --output dist --torch "$$(grep '^torch==' constraints.txt)"

clean: ## Remove the virtual environment and caches, not your results in mlruns
	rm -rf $(VENV) $(PEERS) $(CUSTOMARY) $(RELEASE) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ablate needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (a minute or two) ..."
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/developing: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (a minute or two) ..."
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/installed

# What ablate is compared with is not among its dependencies.
$(PEERS)/installed: pyproject.toml constraints.txt benchmarks/peers.txt | $(VENV)/bin/python
	@echo "Installing into $(PEERS) (a minute or two) ..."
	$(VENV)/bin/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' -r benchmarks/peers.txt
	@touch $@

# Of ablate, only the metrics are imported there, and they need no more than this.
$(CUSTOMARY)/installed: benchmarks/metrics/packages.txt
	@echo "Installing into $(CUSTOMARY) (two minutes) ..."
	$(PYTHON) -m venv $(CUSTOMARY)
	$(CUSTOMARY)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/metrics/packages.txt
	@touch $@

$(RELEASE)/installed:
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@touch $@
