# Everything a user or CI runs. `make setup` is quick when nothing changed.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The newest Python on this machine that TensorFlow has wheels for; Lambda runs 3.13.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
BIN := .venv/bin
PIP := -m pip install --quiet --disable-pip-version-check
MINISTACK := ministack==1.5.33
SAM := aws-sam-cli==1.170.0
# Node.js comes with the virtual environment, the same for everyone.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PORT ?= 4566

.PHONY: help setup demo demo-once test check format openapi local screenshots sam-local deploy clean

help: ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.installed .emulator/.installed node_modules/.installed web/dist/index.html build/goods/.fetched build/layers/.built ## Install everything into this folder

demo: setup ## Run the whole thing on this machine, with a web page, until Ctrl-C
	@$(BIN)/python -m local.demo

demo-once: setup ## The same, then stop; writes build/demo-report.json
	@$(BIN)/python -m local.demo --once

test: setup .sam/.installed ## Run all tests
	@npm run --silent test:web
	@$(BIN)/pytest

check: setup ## Linters, types, import rules, CloudFormation templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	npm run --silent check:web
	CDK_OUTDIR=build/cdk.check $(BIN)/python -m infra.app
	@# W3005 is about the DependsOn that the CDK itself writes.
	$(BIN)/cfn-lint --ignore-checks W3005 -- build/cdk.check/*.template.json

format: .venv/.installed ## Format the code
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

openapi: .venv/.installed ## Write docs/openapi.json anew, after a route has changed
	@$(BIN)/python -m local.openapi

local: setup ## The emulator with the stacks (PORT=4566), until Ctrl-C; state is kept
	@$(BIN)/python -m local.up --port $(PORT)

screenshots: setup ## Pictures of the web pages in build/screenshots; needs Chromium
	@$(BIN)/python -m local.screenshots

sam-local: setup .sam/.installed ## The functions in containers, by AWS SAM (needs Docker, Finch or podman)
	@$(BIN)/python -m local.sam $(ARGS)

deploy: setup ## Deploy to the AWS account of your credentials; asks first
	@$(BIN)/python -m infra.deploy

clean: ## Remove what was built and installed (not the state that `make local` keeps)
	rm -rf .venv .sam node_modules web/dist build .emulator/venv .emulator/.installed .*_cache .hypothesis

.venv/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "setup: needs Python 3.11, 3.12 or 3.13 on the PATH, with its venv module" >&2; exit 2; }
	@echo "setup: Python packages, with TensorFlow (a minute or two)" >&2
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python $(PIP) --editable '.[train,infra,dev]'
	@touch $@

.emulator/.installed: Makefile | .venv/.installed
	@echo "setup: the emulator" >&2
	@$(BIN)/python -m venv .emulator/venv
	@.emulator/venv/bin/python $(PIP) $(MINISTACK) "$$(grep -o 'boto3==[0-9.]*' pyproject.toml)"
	@touch $@

# In a venv of its own, since it pins other versions than ours; not part of `make setup`, since only
# the tests and `make sam-local` need it, and it takes half a minute and 340 MB.
.sam/.installed: Makefile | .venv/.installed
	@echo "AWS SAM, for the tests (half a minute)" >&2
	@$(BIN)/python -m venv .sam/venv
	@.sam/venv/bin/python $(PIP) $(SAM)
	@touch $@

node_modules/.installed: package.json package-lock.json .npmrc | .venv/.installed
	@echo "setup: the CDK command line and the web page's build tools" >&2
	@npm ci --silent
	@touch $@

web/dist/index.html: $(shell find web -type f -not -path 'web/dist/*') | node_modules/.installed
	@echo "setup: the web page" >&2
	@npm run --silent build:web
	@touch $@

build/goods/.fetched: examples/shops/goods.py | .venv/.installed
	@echo "setup: the demo shops' goods" >&2
	@$(BIN)/python -m examples.shops.goods --into build/goods
	@touch $@

build/layers/.built: $(wildcard layers/*/requirements.txt) infra/layers.py | .venv/.installed
	@echo "setup: the functions' layers for this machine" >&2
	@$(BIN)/python -m infra.layers
	@touch $@
