# Everything a checkout can do; `make` alone lists it. It needs make, python3 (3.11 or newer) and nothing else.

PY := .venv/bin/python
UV ?= uv
# Most tests wait for servers and processes, so there are more of them at a time than cores. 0 runs them one by one.
PROCESSES ?= 4
STAMP := .venv/.rota-setup
REQUIREMENTS := requirements/dev.txt requirements/engine.txt pyproject.toml
LOCK = $(UV) pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-package rota --custom-compile-command 'make lock'

# The jobs are found in src/ wherever the engine itself is installed.
export PYTHONPATH := $(CURDIR)/src
# The tests start hundreds of processes: where the environment forbids bytecode, each would compile all over again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check dev worker redis-cli bench bench-check test-containers test-browser test-template screenshots dashboards rules lock clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## the virtual environment .venv, with everything in it (all other targets see to it)

$(STAMP): $(REQUIREMENTS) scripts/setup.py
	@python=$$(sh scripts/find-python) && "$$python" scripts/setup.py

demo: setup ## real jobs through a real queue, some of them failing; ARGS=--stay keeps the dashboard open
	@exec $(PY) src/demo.py $(ARGS)

test: setup ## all tests that need no container engine and no browser, and take no copies; ARGS="-k name" chooses
	@$(PY) -m pytest -n $(PROCESSES) --dist worksteal --ignore=tests/container --ignore=tests/browser --ignore=tests/template $(ARGS)

check: setup ## lint, format, types and architecture
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy --strict
	@$(PY) -m pytest -q tests/test_architecture.py tests/test_conventions.py tests/test_words.py

dev: setup ## everything there is in one process, started again when a file changes
	@$(PY) -m rota dev

worker: setup ## one worker process for all queues
	@exec env MODE=worker $(PY) -m rota # without a shell between, which Ctrl-C would end with a complaint of make's

redis-cli: setup ## look at the queue's keys; ARGS="zrange arq:queue:default 0 -1" runs one command
	@$(PY) -m rota redis-cli $(ARGS)

bench: setup ## stock arq and rota side by side, what each policy costs, and how fast the audit table is written
	@$(PY) -m benchmarks
	@$(PY) -m benchmarks.policies
	@$(PY) -m benchmarks.recorder

bench-check: setup ## fail below what is promised of rota's speed
	@$(PY) -m benchmarks --check

test-containers: setup ## build the image and run it, where there is a container engine
	@$(PY) -m pytest tests/container $(ARGS)

test-browser: setup ## the pages in a real browser, where there is one
	@$(PY) -m pytest tests/browser $(ARGS)

test-template: setup ## what a team gets that takes this repository: copies and projects made of it, and their own tests
	@$(PY) -m pytest tests/template $(ARGS)

screenshots: setup ## take the pictures of docs/images again, of every page of the dashboard
	@mkdir -p docs/images
	@SCREENSHOTS=docs/images $(PY) -m pytest tests/browser/test_screens.py

dashboards: setup ## write Grafana's dashboards again, from the code in deploy/grafana
	@$(PY) -m deploy.grafana

rules: setup ## write Kubernetes' PrometheusRule again, from deploy/prometheus/rules.yml
	@$(PY) deploy/kubernetes/rules.py

lock: ## write the hash-locked requirements again, with uv; ARGS=--upgrade takes new versions
	@command -v $(UV) >/dev/null || { echo "uv was not found: install it (pip install uv), or name it: make lock UV=/path/to/uv" >&2; exit 1; }
	@$(LOCK) $(ARGS) -o requirements/build.txt requirements/build.in
	@$(LOCK) $(ARGS) -o requirements/worker.txt requirements/worker.in
	@$(LOCK) $(ARGS) -o requirements/dev.txt requirements/dev.in
	@$(LOCK) --no-deps $(ARGS) -o requirements/arq-suite.txt requirements/arq-suite.in

clean: ## remove .venv, caches and the embedded server's data
	@python=$$(sh scripts/find-python) && "$$python" scripts/clean.py
