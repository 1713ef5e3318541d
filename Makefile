# `make` lists the targets. Everything made here lies in .venv, .services and .cradle.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The newest Python that fits. Each is tried, since a launcher may exist whose version does not.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)

.PHONY: help
help: ## List these targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' \
	| while IFS="$$(printf '\t')" read -r target text; do printf '  make %-10s %s\n' "$$target" "$$text"; done

.PHONY: demo
demo: $(VENV)/.runtime ## From documents to answers, on this machine, in about a minute
	@CRADLE_HOME=$(CURDIR)/.cradle $(BIN)/python -m cradle.demo

.PHONY: test
test: check $(if $(filter true,$(CI)),$(VENV)/.torch) ## Every check and test; CI=true lets none be skipped
ifeq ($(CI),true)
	@BIN=$(BIN) sh .ci/side-by-side
else
	@$(BIN)/pytest
endif

.PHONY: check
check: $(VENV)/.dev ## Format, lint, types, imports, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m cradle.generated --check

.PHONY: generated
generated: $(VENV)/.dev ## Write the files that are generated from the code
	@$(BIN)/python -m cradle.generated
	@$(BIN)/python -m tests.engines.formats

.PHONY: bench
bench: $(VENV)/.torch services ## Measure, and write docs/benchmarks.md
	@$(BIN)/python -m benchmarks

.PHONY: quality
quality: $(VENV)/.dev ## Score every engine and format on a corpus of known text, and write docs/quality.md
	@$(BIN)/python -m benchmarks.quality

.PHONY: chaos
chaos: $(VENV)/.dev ## Faults from a seed on Apache Kafka, then a checker: is anything lost or doubled?
	@$(BIN)/python -m tests.chaos --documents $(or $(DOCUMENTS),300) --faults $(or $(FAULTS),30) --seed $(or $(SEED),1)

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Hostile files at a worker: bombs, loops, lures, cuts, mutants from a seed; writes docs/reliability.md
	@$(BIN)/python -m tests.hostile --files $(or $(FILES),10000) --seed $(or $(SEED),7) --out docs/reliability.md

.PHONY: conformance
conformance: $(VENV)/.dev .services/conformance/.installed ## MCP's official conformance suite against the appliance's server
	@$(BIN)/python -m tests.conformance

.PHONY: services
services: $(VENV)/.runtime ## Start Apache Kafka, an S3 server and Redis for the tests that need them
	@$(BIN)/python -m infra.local.services up

.PHONY: clean
clean: ## Stop what runs and remove what was made here
	@if [ -x $(BIN)/cradle ]; then CRADLE_HOME=$(CURDIR)/.cradle $(BIN)/cradle down || true; fi
	@if [ -d .services ] && [ -x $(BIN)/python ]; then $(BIN)/python -m infra.local.services down || true; fi
	@if [ -d .cradle/versions ]; then chmod -R u+w .cradle/versions; fi
	@rm -rf .cradle .services $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# -- the environment: a stamp a step, so that what is done is not done again ------------------------------------------

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Cradle needs Python 3.11, 3.12 or 3.13 with venv; none was found." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: constraints/runtime.txt pyproject.toml | $(BIN)/python
	@echo "Installing what runs (constraints/runtime.txt)"
	@$(PIP) install --require-hashes --requirement constraints/runtime.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: constraints/dev.txt $(VENV)/.runtime
	@echo "Installing what checks (constraints/dev.txt)"
	@$(PIP) install --require-hashes --requirement constraints/dev.txt
	@touch $@

$(VENV)/.torch: constraints/torch.txt $(VENV)/.dev
	@echo "Installing the torch engines (constraints/torch.txt)"
	@$(PIP) install --require-hashes --requirement constraints/torch.txt
	@touch $@

# -- the conformance suite: npm brings it, and the Node that it wants -------------------------------------------------

SUITE := @modelcontextprotocol/conformance
.services/conformance/.installed: Makefile
	@echo "Installing the conformance suite"
	@mkdir -p $(@D) && cd $(@D) && npm install --silent --no-audit --no-fund --no-save --prefix . node@22.23.3 \
		conformance-release@npm:$(SUITE)@0.1.16 conformance-preview@npm:$(SUITE)@0.2.0-alpha.12
	@touch $@
