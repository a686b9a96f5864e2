# Two commands are all you need: `make up` runs the product, `make test` runs every test.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
# Days of history in the sample data of `make dev`.
DEMO_DAYS ?= 30

.PHONY: up dev test test-fast lint fmt messages pictures lock audit image compose bench-push bench-sweep bench-history bench-dashboard bench-deliver bench-rules bench-faults soak chaos clean

up: .venv/.base-installed
	@exec $(BIN)/python manage.py up

# The same for development: restarts when files change, shows detailed errors, and has sample data.
dev: .venv/.dev-installed
	@exec env TIANJI_DEBUG=true TIANJI_DATA="$${TIANJI_DATA:-data/dev}" \
	  TIANJI_ALLOW_PRIVATE_WEBHOOKS="$${TIANJI_ALLOW_PRIVATE_WEBHOOKS:-127.0.0.0/8}" \
	  TIANJI_EMAIL_URL="$${TIANJI_EMAIL_URL:-smtp://127.0.0.1:9025}" \
	  $(BIN)/python manage.py up --reload --demo tianji-demo --demo-days $(DEMO_DAYS)

test: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.test

# The inner loop: linters, and the tests on SQLite except for slow ones.
test-fast: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.test --fast

# The linters of `make test`.
lint: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.test linters

# Formats everything, and fixes what ruff can fix.
fmt: .venv/.dev-installed
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format
	@find templates -name '*.html' -exec $(BIN)/djade --target-version 5.2 {} +

# Asked before anything is made: Debian's Python has no ensurepip, and would leave a `.venv` without pip behind.
.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Tianji needs Python 3.11 or newer; none was found on the PATH." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(NO_PIP)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

NO_PIP = $(PYTHON) can't create an environment with pip: on Debian and Ubuntu, run\
 sudo apt-get install $(notdir $(PYTHON))-venv, then this again.

# Where the creation of `.venv` was interrupted, or another tool created it, there is no pip in it.
PIP_IS_THERE = $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null 2>&1 \
  || { echo "$(NO_PIP)" >&2; exit 1; }

.venv/.base-installed: requirements/base.txt | .venv/bin/python
	@$(PIP_IS_THERE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

.venv/.dev-installed: requirements/dev.txt | .venv/bin/python
	@$(PIP_IS_THERE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@ .venv/.base-installed

bench-push: .venv/.dev-installed
	@exec $(BIN)/python -m bench.push

bench-sweep: .venv/.dev-installed
	@exec $(BIN)/python -m bench.sweep

# 50 million heartbeats; fewer: make bench-history HEARTBEATS=1000000
HEARTBEATS ?= 50000000
bench-history: .venv/.dev-installed
	@exec $(BIN)/python -m bench.history --heartbeats $(HEARTBEATS)

bench-deliver: .venv/.dev-installed
	@exec $(BIN)/python -m bench.deliver

# Ten minutes of faults in a random order; another order: make chaos SEED=2
SEED ?= 1
chaos: .venv/.dev-installed
	@exec $(BIN)/python -m bench.chaos --seed $(SEED)

# Ten minutes at 1,000 pushes a second; less: make soak SOAK="--minutes 2 --rate 200 --monitors 20000"
SOAK ?=
soak: .venv/.dev-installed
	@exec $(BIN)/python -m bench.soak $(SOAK)

# Needs GNU gettext.
messages: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.messages

# Needs Chromium.
pictures: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.pictures

bench-rules: .venv/.dev-installed
	@exec $(BIN)/python -m bench.rules

bench-faults: .venv/.dev-installed
	@exec $(BIN)/python -m bench.faults

bench-dashboard: .venv/.dev-installed
	@exec $(BIN)/python -m bench.dashboard

# Locked versions are kept; to upgrade a package: make lock UPGRADE="--upgrade-package django"
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-emit-index-url --no-emit-find-links $(UPGRADE)

# Locks the exact versions, with hashes, of the dependencies in pyproject.toml.
lock: .venv/.dev-installed
	$(COMPILE) pyproject.toml -o requirements/base.txt
	$(COMPILE) -c requirements/base.txt --group build -o requirements/build.txt
	$(COMPILE) -c requirements/base.txt -c requirements/build.txt pyproject.toml --group dev -o requirements/dev.txt

# Whether versions that are locked have known vulnerabilities; asks the list of OSV, which must be reached.
audit: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.audit

# For a registry: make image IMAGE=HOST/tianji:1.0
IMAGE ?= tianji
image:
	docker build --tag $(IMAGE) --build-arg REVISION="$$(git rev-parse HEAD)" \
	  --build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' core/__init__.py)" .

# deploy/docker-compose.yml, from the one for a checkout.
compose: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.compose

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
