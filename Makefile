# `make` lists what there is. Everything is installed in .venv, but for what `make tools`
# gets: see scripts/tools. PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= python3
TESTS ?=
ROWS ?= *

VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' node/src/nano/version.py)
IMAGES := nanocluster-node:$(VERSION) nanocluster-operator:$(VERSION) nanocluster-chat:$(VERSION)
COMPILED := $(CURDIR)/.build/compiled
CRD := charts/nanocluster/crds/nanocluster.yaml

# what `make tools` installed
export PATH := $(CURDIR)/.build/bin:$(PATH)
ifneq ($(wildcard .build/assets),)
export KUBEBUILDER_ASSETS ?= $(CURDIR)/.build/assets
endif

.DEFAULT_GOAL := help
.PHONY: help tools compiled install run test e2e endurance bench picture lint types format proto crd images kind clean

help: ## list what there is
	@sed -n 's/^\([a-z0-9]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
	  printf '  make %-9s %s\n' "$$name" "$$text"; done

run: $(VENV)/.node ## start examples/chat on this machine; the last line says where its page is
	$(BIN)/nanoctl up -f examples/chat/cluster.yaml --try PageService.Where null

test: $(VENV)/.dev ## run every test that needs no cluster of pods (TESTS=tests/chart: only those)
	$(BIN)/pytest $(TESTS)

e2e: $(VENV)/.dev ## test on a kind cluster made for it (E2E_CLUSTER=existing: on the one of KUBECONFIG)
	$(BIN)/pytest -m e2e -o log_cli=true -o log_cli_level=INFO tests/e2e

endurance: $(VENV)/.dev ## fuzz, soak, idle and stuck clients, storms and outages of a cluster: 20 minutes
	$(BIN)/python -m tests.endurance.feed
	$(BIN)/python -m tests.endurance.fuzz
	$(BIN)/python -m tests.endurance.soak
	$(BIN)/python -m tests.endurance.idle
	$(BIN)/python -m tests.endurance.stuck
	$(BIN)/python -m tests.endurance.storm
	$(BIN)/python -m tests.endurance.recovery

bench: $(VENV)/.dev $(COMPILED)/.made ## measure beside Go nano (ROWS='ws-*': only those)
	PYTHONPATH='$(COMPILED)' $(BIN)/python -m bench --rows '$(ROWS)'

picture: $(VENV)/.dev ## draw the README's dashboard from a cluster that runs three minutes
	$(BIN)/python -m tests.monitoring.picture docs/pictures/dashboard.png

tools: ## get what the tests beyond the core need
	@PYTHON='$(PYTHON)' scripts/tools

compiled: $(COMPILED)/.made ## compile what every message passes through: PYTHONPATH=.build/compiled uses it

install: $(VENV)/.dev ## install the project for development

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lint: $(VENV)/.dev types ## check style, imports, generated code and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check

types: $(VENV)/.dev ## check types
	$(BIN)/mypy

proto: $(VENV)/.dev ## generate code from proto/
	$(BIN)/python proto/generate.py

crd: $(VENV)/.node ## generate the resource definition in the chart
	$(BIN)/nanoctl crd > $(CRD).new && mv $(CRD).new $(CRD)

images: ## build the images of node, operator, examples/echo and examples/chat
	docker build --target node -t nanocluster-node:$(VERSION) .
	docker build --target operator -t nanocluster-operator:$(VERSION) .
	docker build --build-arg BASE_IMAGE=nanocluster-node:$(VERSION) -t nanocluster-echo:$(VERSION) examples/echo
	docker build --build-arg BASE_IMAGE=nanocluster-node:$(VERSION) -t nanocluster-chat:$(VERSION) -f examples/chat/Dockerfile .

kind: images ## make a kind cluster that runs examples/chat; the last line says where its page is
	scripts/kind $(IMAGES)

clean: ## remove what was installed and built in the checkout
	rm -rf $(VENV) .build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: the second time costs nothing.  pip is new enough for dependency groups.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet 'pip>=25.1'

$(VENV)/.node: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable .
	@touch $@

# A copy, for what is compiled would be imported in place of what is edited.
$(COMPILED)/.made: pyproject.toml node/compile.py $(shell find node/src operator/src -name '*.py') | $(BIN)/pip
	rm -rf $(COMPILED)
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(BIN)/pip install --quiet --no-deps --target $(COMPILED) .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[operator]' --group dev
	@touch $@ $(VENV)/.node
