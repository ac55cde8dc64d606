VENV := .venv
BIN := $(VENV)/bin
# Made when the packages are in place; older than its inputs, it is made again.
INSTALLED := $(VENV)/installed
INSTALLED_DEV := $(VENV)/installed-dev
INPUTS := pyproject.toml constraints.txt
SITE := build/site
# Modules are compiled when they are first imported: of torch's, most never are.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup fmt lint types test quick faults check docs demo serve worker migrate migration up bench gpu-check experiment browser scripts vendor screenshots lock audit sbom clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(BIN)/python:
	@for python in python3.11 python3; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			$$python -m venv $(VENV) && exit 0; \
			rm -rf $(VENV); \
			exit 1; \
		fi; \
	done; \
	echo 'make: no Python 3.11 or newer found as python3.11 or python3' >&2; \
	exit 1

$(INSTALLED): $(INPUTS) | $(BIN)/python
	@echo 'Installing into $(VENV); with torch this takes a few minutes.'
	$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(INSTALLED_DEV): $(INPUTS) | $(BIN)/python
	@echo 'Installing into $(VENV); with torch this takes a few minutes.'
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(INSTALLED)

setup: $(INSTALLED_DEV) browser  ## Make .venv with everything that development needs

browser:  ## Install Chromium for the tests of the dashboard, where apt-get may do so
	@if command -v chromium > /dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium > /dev/null && exit 0; \
	fi; \
	echo 'make: no Chromium, so the tests in a browser are skipped; on Debian: apt-get install chromium'

fmt: $(INSTALLED_DEV)  ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lint: $(INSTALLED_DEV)  ## Check style, formatting and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED_DEV) scripts  ## Check types with mypy --strict, and those of the dashboard's scripts
	$(BIN)/mypy --strict

NODE_TOOLS := dashboard_tools/node_modules/.package-lock.json
scripts:  ## Check the dashboard's scripts with tools of npm, where npm is
	@cd dashboard_tools && if test ../$(NODE_TOOLS) -nt package-lock.json || npm ci --silent --no-audit --no-fund; then \
		npm run --silent check; \
	else \
		echo 'make: no npm, or no registry, so the scripts of the dashboard are not checked'; \
		test "$$HARDNEG_TEST_BROWSER" != required; \
	fi

# Tracing costs half as much again before Python 3.12, so only the quick tests on SQLite are traced.
PYTEST := -m pytest -n 2 --dist worksteal --durations=10
test: $(INSTALLED_DEV)  ## Run all tests, on SQLite and on Postgres; COVERAGE=1 measures branches
ifdef COVERAGE
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) -m 'not slow and not postgres'
	$(BIN)/python $(PYTEST) -m 'slow or postgres'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
else
	$(BIN)/python $(PYTEST)
endif

quick: $(INSTALLED_DEV)  ## Run the tests that take seconds
	$(BIN)/pytest -m 'not slow'

faults: $(INSTALLED_DEV)  ## Run all tests against faults and hostile input, the long ones too
	$(BIN)/pytest tests/faults

check: lint types test  ## Run all that CI runs, without measuring coverage

docs: $(INSTALLED_DEV)  ## Build the documentation as a site, and fail on broken links
	$(BIN)/python -m sphinx -c docsite --fresh-env --fail-on-warning --keep-going --quiet docs $(SITE)
	@echo 'The site is in $(SITE): open $(SITE)/index.html.'

demo: $(INSTALLED)  ## Show the main job from end to end, and leave the server running
	$(BIN)/hardneg demo

serve: $(INSTALLED)  ## Start the service on this machine
	$(BIN)/hardneg serve

worker: $(INSTALLED)  ## Start one more worker for the service's jobs
	$(BIN)/hardneg worker

migrate: $(INSTALLED)  ## Bring the database to the newest migration
	$(BIN)/hardneg db upgrade

migration: $(INSTALLED_DEV)  ## Write the migration that tables.py asks for: make migration m="add x to y"
	@test -n '$(m)' || { echo 'make: say what changes: make migration m="add x to y"' >&2; exit 1; }
	@set -e; HARDNEG_DATA_DIR=$$(mktemp -d); export HARDNEG_DATA_DIR; unset HARDNEG_DATABASE_URL; \
	trap 'rm -rf "$$HARDNEG_DATA_DIR"' EXIT; \
	$(BIN)/alembic upgrade head; \
	$(BIN)/alembic revision --autogenerate --message '$(m)'

up:  ## Start Postgres, API and worker in containers
	docker compose up --build

bench: $(INSTALLED_DEV)  ## Run every benchmark in its short form
	$(PIP_INSTALL) --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks.scoring --only ssdlite --repeats 2
	$(BIN)/python -m benchmarks.foreign --repeats 3 --images 16
	$(BIN)/python -m benchmarks.stages --batches 3
	$(BIN)/python -m benchmarks.decode --repeats 3
	$(BIN)/python -m benchmarks.rescan --images 32 --turns 2
	$(BIN)/python -m benchmarks.service --turns 1 --classes 90
	$(BIN)/python -m benchmarks.uploads_during_rescan --turns 1
	$(BIN)/python -m benchmarks.folder_import --images 8 --repeats 2
	$(BIN)/python -m benchmarks.memory --images 2000
	$(BIN)/python -m benchmarks.startup --turns 3
	$(BIN)/python -m benchmarks.ranking --rows 200000 --repeats 7
	$(BIN)/python -m benchmarks.http --rounds 3
	$(BIN)/python -m benchmarks.dashboard --images 500 --turns 1
	$(BIN)/python -m benchmarks.samplers --repeats 7 --no-steps

gpu-check: $(INSTALLED)  ## Check and measure all that runs differently on a GPU; needs CUDA
	$(BIN)/python -m benchmarks.gpu_check

experiment: $(INSTALLED_DEV)  ## Show on real photographs what mining does (long; goes on where it stopped)
	$(BIN)/python -m benchmarks.experiment --results runs/experiment
	$(BIN)/python -m benchmarks.experiment --results runs/experiment --samplers
	$(BIN)/python -m benchmarks.experiment_report --results runs/experiment --out docs/explanation/experiments
	$(BIN)/python -m benchmarks.holding_training --results runs/holding-training
	$(BIN)/python -m benchmarks.recipes --results runs/recipes

vendor: $(INSTALLED_DEV)  ## Take the newest npm packages that the dashboard and its tests hold copies of
	$(BIN)/python -m dashboard_tools.vendor

screenshots: $(INSTALLED_DEV)  ## Make the pictures of the dashboard in docs/images/dashboard
	$(BIN)/python -m dashboard_tools.screenshots

lock: $(INSTALLED_DEV)  ## Write requirements.lock anew: what the image installs, with digests
	$(BIN)/python -m supply_chain.lock

# The tools have many packages of their own, so they get an environment apart.
SUPPLY := build/supply
$(SUPPLY)/bin/pip-audit: pyproject.toml
	$(BIN)/python -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install --quiet 'cyclonedx-bom>=7.5,<8' 'pip-audit>=2.9,<3'
	@touch $@

audit: $(INSTALLED) $(SUPPLY)/bin/pip-audit  ## Look for known vulnerabilities in what the image installs (needs the network)
	$(SUPPLY)/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock
	$(SUPPLY)/bin/pip-audit --strict --disable-pip --no-deps --requirement requirements-torch.txt

sbom: $(INSTALLED) $(SUPPLY)/bin/pip-audit  ## Write the image's bill of materials in CycloneDX form, build/hardneg.cdx.json
	cat requirements.lock requirements-torch.txt | $(SUPPLY)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-file build/hardneg.cdx.json -

clean:  ## Remove the environment and everything that the tools leave behind
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
