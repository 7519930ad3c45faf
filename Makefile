# Stepwell's commands. `make help` lists them; `make run` is all that a newcomer needs.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
PY := .venv/bin/python

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
	@echo "make lint    the quick part of it: format, lint, types, import contracts"
	@echo "make bench   benchmarks, as ratios against a floor measured in the same run"
	@echo "make soak    a long run under crashes"
	@echo "make lock    resolve the lock files again from pyproject.toml and package.json"
	@echo "make clean   remove what setup made (the data folder stays)"

.PHONY: setup
setup: .stamps/python-test .stamps/vendor

.stamps/uv-$(UV_VERSION):
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 14)))' \
	  || { echo "Stepwell needs Python 3.11, 3.12 or 3.13 as $(PYTHON); choose another with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 \
	  || { echo "$(PYTHON) has no pip: install it (on Debian: apt-get install python3-pip) and run make again"; exit 1; }
	@mkdir -p .stamps && rm -rf .tools/bin .tools/uv*
	$(PYTHON) -m pip install --quiet --target .tools uv==$(UV_VERSION)
	@touch $@

.stamps/venv: .stamps/uv-$(UV_VERSION)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv
	@rm -f .stamps/python .stamps/python-test
	@touch $@

.stamps/python-test: requirements-test.lock .stamps/venv
	$(UV) pip sync --quiet --require-hashes --python $(PY) requirements-test.lock
	@touch $@

.PHONY: lock
lock: .stamps/uv-$(UV_VERSION)
	$(UV) pip compile pyproject.toml --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet -o requirements.lock
	$(UV) pip compile pyproject.toml --group test --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet -c requirements.lock -o requirements-test.lock
	npm install --package-lock-only
