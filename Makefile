# `make` lists the targets. Each one is a script in scripts/ that can be run by itself once installed.

PYTHON ?= python3
STORE ?= models
RECIPE ?= digits-cgan
DATA ?= ../shared/data/mnist
MINUTES ?= 10
JOBS ?= 1
export PYTHON

# The stamps make a second call instant; a change of the requirements installs again.
INSTALLED := .venv/.installed
INSTALLED_TEST := .venv/.installed-test
REQUIREMENTS := pyproject.toml constraints.txt scripts/install

.DEFAULT_GOAL := help
.PHONY: help install install-test demo train results serve test test-slow bench lint deploy-files proto golden clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## runtime and trainer into .venv, for the GPU where an NVIDIA driver is present

install-test: $(INSTALLED_TEST) ## the same and what the tests need

demo: $(INSTALLED) ## train a digit generator, serve it, sample it into out/demo (ONCE=1: then stop)
	@.venv/bin/python scripts/demo $(if $(filter 1 true yes,$(ONCE)),--once)

train: $(INSTALLED) ## train RECIPE (digits-cgan) in runs/RECIPE, publish to STORE (models)
	@.venv/bin/latentd train $(RECIPE) --run runs/$(RECIPE) --store $(STORE)

results: $(INSTALLED) ## measure every recipe on DATA, MINUTES (10) each, and the STUDY (all): trainer/RESULTS.md
	@scripts/results --data $(DATA) --minutes $(MINUTES) --jobs $(JOBS) $(addprefix --study ,$(STUDY))

serve: $(INSTALLED) ## serve the packages of STORE (models) on HTTP port 8000 and gRPC port 8001
	@.venv/bin/latentd serve --store $(STORE) --state state

test: $(INSTALLED_TEST) ## the whole test suite except its slow part
	@scripts/test

test-slow: $(INSTALLED_TEST) ## tests that train for minutes or repeat faults many times
	@scripts/test-slow

bench: $(INSTALLED_TEST) ## benchmarks
	@scripts/bench

lint: $(INSTALLED_TEST) ## style, formatting, types, layer rules
	@scripts/lint

deploy-files: $(INSTALLED) ## write the dashboards and the Kubernetes rules of deploy/ from their code
	@.venv/bin/python -m deploy.generate

proto: $(INSTALLED_TEST) ## regenerate the gRPC stubs from proto/
	@.venv/bin/python proto/generate.py

golden: $(INSTALLED_TEST) ## write the wire contract's golden files anew (BREAKING=1: even if it breaks clients)
	@scripts/golden $(if $(filter 1 true yes,$(BREAKING)),--breaking)

clean: ## remove caches, build output and out/ (not .venv, runs, models)
	@scripts/clean

$(INSTALLED): $(REQUIREMENTS)
	@scripts/install trainer
	@touch $@

$(INSTALLED_TEST): $(INSTALLED)
	@scripts/install trainer test
	@touch $@
