# What the Makefile can do only here, where the engine is made. Projects that are made from this repository have it not.

# These need a browser, a container engine or minutes, and have targets of their own.
TEST_OPTIONS := --ignore=tests/container --ignore=tests/browser --ignore=tests/template

# What a project gets as its dev.txt, before the one of here.
LOCKS := build worker sbom project dev

.PHONY: bench bench-peers performance performance-page bench-check test-containers test-browser test-template screenshots dashboards rules docs settings

# It leaves with the sample jobs: make remove-samples.
demo: setup ## real jobs through a real queue, some of them failing; ARGS=--stay keeps the dashboard open
	@exec $(PY) -m examples.demo $(ARGS)
.PHONY: demo

bench: setup ## stock arq and rota side by side, what each policy costs, and how fast the audit table is written
	@$(PY) -m benchmarks
	@$(PY) -m benchmarks.policies
	@$(PY) -m benchmarks.recorder

# Peers in environments of their own, made in .venv/peers: half an hour on a quiet machine.
bench-peers: setup ## rota and its peers side by side, into benchmarks/peers.json; ARGS=--quick takes minutes
	@$(PY) -m benchmarks.peers --set-up $(ARGS)

# matplotlib is in an environment of its own.
PLOTS ?= .venv/performance

performance: setup $(PLOTS)/made ## measure all of docs/performance.md and write it, about an hour; ARGS=--quick takes minutes
	@$(PY) -m benchmarks.peers --set-up $(ARGS)
	@$(PY) -m benchmarks.conditions $(ARGS)
	@$(PLOTS)/bin/python -m benchmarks.performance

performance-page: setup $(PLOTS)/made ## write docs/performance.md and its plots again, from the records that are there
	@$(PLOTS)/bin/python -m benchmarks.performance

$(PLOTS)/made: requirements/performance.txt | setup
	@$(PY) -m venv --clear $(PLOTS)
	@$(PLOTS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

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

docs: setup ## the documents as a site, in build/docs/site; ARGS=--serve shows it on http://localhost:8001
	@exec $(PY) -m scripts.docs $(ARGS)

settings: setup ## write docs/settings.md again, from the settings in the code
	@$(PY) -m scripts.settings

check:: setup
	@$(PY) -m pytest -q tests/test_architecture.py tests/test_conventions.py tests/test_words.py

lock::
	@$(LOCK) --no-deps $(ARGS) -o requirements/arq-suite.txt requirements/arq-suite.in
	@for name in docs performance; do $(LOCK) $(ARGS) -o requirements/$$name.txt requirements/$$name.in || exit; done
	@for file in benchmarks/peers/requirements/*.in; do $(LOCK) $(ARGS) -o $${file%.in}.txt $$file || exit; done
