# The few commands that do everything, on Debian 12 and Ubuntu 24.04. Each sets up what it needs.
# Packages of the system are installed as root (by sudo, if there is one to ask).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.ONESHELL:
# System packages come before what is built with them.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

# The system's Python: others on PATH may go away with their owners.
PYTHON ?= /usr/bin/python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## Show these lines
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand --tabs=20

.PHONY: demo
demo: $(if $(RACK),packages-rack,packages-lab) .venv/run ## Start six machines and the service, take stock of them, and show it; RACK=1 installs one more
	@python -m demo start

.PHONY: demo-stop
demo-stop: ## End what `make demo` started and remove what it made
	@if [[ -x $(BIN)/python ]]; then python -m demo stop; else echo "No demo was started here."; fi

.PHONY: rack
rack: packages-rack .venv/run ## Start virtual machines with BMCs, and a service that can install them; MACHINES=2
	@python -m demo rack

.PHONY: rack-stop
rack-stop: ## End what `make rack` started and remove what it made
	@if [[ -x $(BIN)/python ]]; then python -m demo rack-stop; else echo "No rack was started here."; fi

.PHONY: install
install: packages-run .venv/run ## Install what the service needs, into .venv

.PHONY: install-dev
install-dev: packages-test .venv/dev ## Install what development and tests need besides

.PHONY: run
run: install ## Serve the API in the foreground, with its files in var/run
	export FIRSTBOX_HOME="$${FIRSTBOX_HOME:-$(CURDIR)/var/run}"
	mkdir -p "$$(dirname "$$FIRSTBOX_HOME")"
	firstbox init
	exec firstbox serve

.PHONY: test
test: install-dev ## Run every test: the roles with molecule, all others with pytest, and acceptance
	deploy/run-tests

.PHONY: acceptance
acceptance: install-dev ## Install two virtual machines over IPMI and network boot, and look at them
	pytest -v tests/acceptance

.PHONY: lint
lint: install-dev ## Check format, types, import directions, YAML and Ansible content
	ruff check
	ruff format --check
	mypy
	lint-imports
	yamllint --strict .
	ansible-lint --offline --profile production

.PHONY: bench
bench: packages-bench .venv/dev ## Measure, and write the figures into docs/performance.md
	python -m bench

.PHONY: docs
docs: install ## Write the pages that are made from code: in docs/, and each role's README
	python -m docs.reference
	python deploy/role-readmes

.PHONY: lock
lock: install-dev ## Write the lock files again; `make lock UPGRADE=--upgrade` takes newer versions
	$(COMPILE) --output-file requirements.txt pyproject.toml
	$(COMPILE) --constraint requirements.txt --extra dev --output-file requirements-dev.txt pyproject.toml

# No index addresses in the lock files: where packages come from is pip's configuration.
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet $(UPGRADE) --generate-hashes \
	--no-emit-options --strip-extras --allow-unsafe --build-deps-for editable \
	--constraint deploy/lock-constraints.txt

.PHONY: clean
clean: demo-stop rack-stop ## Remove .venv and everything that tools left here
	rm -rf .venv *.egg-info .{mypy,ruff,pytest,import_linter}_cache .hypothesis build
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: packages-run packages-lab packages-rack packages-test packages-bench
packages-run:
	@deploy/install-system-packages run
packages-lab:
	@deploy/install-system-packages run lab
packages-rack:
	@deploy/install-system-packages run boot lab
packages-test:
	@deploy/install-system-packages test
packages-bench:
	@deploy/install-system-packages bench

# Made anew only when a lock file changed, so that nothing stays that the lock does not name.
.venv/run: requirements.txt
	@echo "Installing Python packages into .venv"
	$(PYTHON) -m venv --clear .venv
	pip install -qq --require-hashes --requirement requirements.txt
	pip install -qq --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: requirements-dev.txt .venv/run
	@echo "Installing Python packages for development and tests into .venv"
	pip install -qq --require-hashes --requirement requirements-dev.txt
	touch $@
