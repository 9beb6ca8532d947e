# Everything a checkout can do; `make` alone lists it. It needs make, python3 (3.11 or newer) and nothing else.

PY := .venv/bin/python
UV ?= uv
# Most tests wait for servers and processes, so there are more of them at a time than cores. 0 runs them one by one.
PROCESSES ?= 4
STAMP := .venv/.rota-setup
REQUIREMENTS := requirements/dev.txt requirements/engine.txt pyproject.toml
LOCK = $(UV) pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-package rota --custom-compile-command 'make lock'

# Each is made after those that it is held to.
LOCKS := build worker sbom dev

# The jobs are found in src/ wherever the engine itself is installed.
export PYTHONPATH := $(CURDIR)/src
# The tests start hundreds of processes: where the environment forbids bytecode, each would compile all over again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup test check dev worker redis-cli image sbom deploy smoke lock remove-samples clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## the virtual environment .venv, with everything in it (all other targets see to it)

$(STAMP): $(REQUIREMENTS) scripts/setup.py
	@python=$$(sh scripts/find-python) && "$$python" scripts/setup.py

test: setup ## all tests that need neither a container engine nor a browser; ARGS="-k name" chooses
	@$(PY) -m pytest -n $(PROCESSES) --dist worksteal $(TEST_OPTIONS) $(ARGS)

check:: setup ## lint, format and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@.venv/bin/hadolint Dockerfile.worker
	@grep -rlE '^#!.*\b(ba)?sh$$' $(wildcard .ci) deploy scripts | xargs .venv/bin/shellcheck
	@$(PY) -m mypy --strict

dev: setup ## everything there is in one process, started again when a file changes
	@$(PY) -m rota dev

worker: setup ## one worker process for all queues
	@exec env MODE=worker $(PY) -m rota # without a shell between, which Ctrl-C would end with a complaint of make's

redis-cli: setup ## look at the queue's keys; ARGS="zrange arq:queue:default 0 -1" runs one command
	@$(PY) -m rota redis-cli $(ARGS)

smoke: ## build the image, bring the production stack up from nothing, and run a job in it; needs Docker
	@scripts/smoke

image: ## build the image of this checkout, with its version and revision; TAG=… names it
	@python=$$(sh scripts/find-python) && exec "$$python" -m deploy.release --build

sbom: ## write what is in that image, as CycloneDX, into sbom.cdx.json
	@python=$$(sh scripts/find-python) && exec "$$python" -m deploy.release --sbom

deploy: ## build, check and start this checkout beside what runs on this host, then stop that; TAG=… takes an image
	@python=$$(sh scripts/find-python) && exec "$$python" -m deploy.release $(ARGS)

lock:: ## write the hash-locked requirements again, with uv; ARGS=--upgrade takes new versions
	@command -v $(UV) >/dev/null || { echo "uv was not found: install it (pip install uv), or name it: make lock UV=/path/to/uv" >&2; exit 1; }
	@for name in $(LOCKS); do $(LOCK) $(ARGS) -o requirements/$$name.txt requirements/$$name.in || exit; done

remove-samples: ## delete the sample jobs with all that is there for them: their tests, the demo, packages, paragraphs
	@python=$$(sh scripts/find-python) && "$$python" scripts/remove_samples.py

clean: ## remove .venv, caches and the embedded server's data
	@python=$$(sh scripts/find-python) && "$$python" scripts/clean.py

# What only the engine's own repository has: its tests, benchmarks and documents.
-include engine.mk
