# `make demo` and `make test` do their own set-up: one environment in .venv, re-made only when what it is
# built from changes.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.ready

# pip's local wheel folder, where one is configured, is uv's too (a CPU build of torch, say).
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_LINK_MODE ?= hardlink

.PHONY: help
help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	@echo "[1/3] Environment in .venv with $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "[2/3] Installer"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@echo "[3/3] Packages, at the versions of constraints.txt"
	@$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -c constraints.txt \
		-e '.[all]' --group dev
	@touch $@

.PHONY: setup
setup: $(STAMP) ## Make or update the environment

.PHONY: demo
demo: $(STAMP) ## From raw purchases to a served prediction
	@$(BIN)/python -m examples.repurchase.demo

.PHONY: demo-llm
demo-llm: $(STAMP) ## The LLM assistant, from its golden dataset to an answer over HTTP; needs no key
	@$(BIN)/python -m examples.assistant.demo

# Each process has one thread, because their threads would only wait for each other. nproc reads that variable too.
WORKERS = $$(env -u OMP_NUM_THREADS nproc)
# pytest-xdist would run a test that ended its process again, up to eight times: the first one ends the run.
PYTEST = -m pytest -q --disable-warnings -n $(WORKERS) --maxprocesses 8 --max-worker-restart 0 --dist loadgroup \
	--no-loadscope-reorder
check test quick-tests all-tests coverage stress: export OMP_NUM_THREADS = 1

.PHONY: check
check: $(STAMP) ## Check style, types, imports, and run the quick tests
	@$(MAKE) --no-print-directory -j2 lint quick-tests

.PHONY: test
test: $(STAMP) ## Check the same, and run every test
	@$(MAKE) --no-print-directory -j2 lint all-tests

.PHONY: quick-tests all-tests
quick-tests: $(STAMP)
	@$(BIN)/python $(PYTEST) -m 'not slow'
all-tests: $(STAMP)
	@$(BIN)/python $(PYTEST)

# Tests that wait for processes, threads or limits.
TIMING := $(addprefix tests/,$(addprefix serving/,callers features inference isolation operations processes web \
	models/test_outside_moves.py models/test_registry_watcher.py protocols/test_graph_threads.py \
	protocols/test_kept_streams.py protocols/test_llm.py test_callers.py test_chaos.py) \
	$(addprefix steps/test_,failures.py fork_server.py kernel_ahead.py) training/test_launch.py \
	training/test_trainjob.py pipelines/test_concurrent_runs.py llm/test_calls.py features/test_tecton.py)
ROUNDS ?= 10

.PHONY: stress
stress: $(STAMP) ## Run the tests that depend on time ten times (ROUNDS) while other processes use every core
	@for core in $$(seq $$(nproc)); do yes > /dev/null & done; trap 'kill $$(jobs -p)' EXIT; failed=0; \
	for round in $$(seq $(ROUNDS)); do \
		echo "Round $$round of $(ROUNDS)"; $(BIN)/python $(PYTEST) $(TIMING) || failed=$$((failed + 1)); \
	done; echo "$$failed of $(ROUNDS) rounds had a failure"; exit $$failed

.PHONY: chaos
chaos: $(STAMP) ## Run 500 steps (CHAOS_STEPS) of crashes, hangs and outages against the service under load
	@CHAOS_STEPS=$${CHAOS_STEPS:-500} $(BIN)/python -m pytest -q -s tests/serving/test_chaos.py

.PHONY: soak
soak: $(STAMP) ## Send the service 200,000 requests (SOAK_REQUESTS) and check that its memory stays flat
	@SOAK_REQUESTS=$${SOAK_REQUESTS:-200000} $(BIN)/python -m pytest -q -s tests/serving/test_app.py

# Code in containers is not measured. Tests that hang end with the limit, and the report shows the rest.
TESTS ?=
COVERAGE_LIMIT ?= 2h
.PHONY: coverage
coverage: $(STAMP) ## Run every test, or those of TESTS, and report the branches covered, subprocesses included
	@rm -f .coverage .coverage.*
	@-timeout --signal=INT --kill-after=60 $(COVERAGE_LIMIT) $(BIN)/coverage run $(PYTEST) \
		-o faulthandler_exit_on_timeout=false -m 'not containers' $(TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

.PHONY: lint
lint: $(STAMP) ## Check style, types and the import rules
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@said=$$($(BIN)/lint-imports --no-logo) || { echo "$$said"; exit 1; }

.PHONY: format
format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: notebook
notebook: $(STAMP) ## Open JupyterLab on the notebooks
	@$(BIN)/jupyter lab notebooks/01_get_data.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: serve
serve: $(STAMP) ## Serve the promoted model on port 8080
	@cd serving && ../$(BIN)/uvicorn main:app --host 0.0.0.0 --port 8080 --no-server-header

.PHONY: ui
ui: $(STAMP) ## Open the MLflow UI on the embedded store, port 5000
	@$(BIN)/mlops ui

.PHONY: clean
clean: ## Remove the environment and everything that runs left behind
	@rm -rf .venv .mlops
