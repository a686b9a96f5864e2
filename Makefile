# Two commands do everything: `make up` runs the product, `make test` shows that it works.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

.PHONY: up test test-fast messages lock bench-push bench-sweep bench-dashboard bench-deliver clean

up: .venv/.base-installed
	@exec $(BIN)/python manage.py up

test: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.test

# The inner loop: linters, and the tests on SQLite but for the slow ones.
test-fast: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.test --fast

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Tianji needs Python 3.11 or newer; none was found on the PATH." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.base-installed: requirements/base.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

.venv/.dev-installed: requirements/dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@ .venv/.base-installed

bench-push: .venv/.dev-installed
	@exec $(BIN)/python -m bench.push

bench-sweep: .venv/.dev-installed
	@exec $(BIN)/python -m bench.sweep

bench-deliver: .venv/.dev-installed
	@exec $(BIN)/python -m bench.deliver

# Needs GNU gettext.
messages: .venv/.dev-installed
	@exec $(BIN)/python -m scripts.messages

bench-dashboard: .venv/.dev-installed
	@exec $(BIN)/python -m bench.dashboard

lock: .venv/.dev-installed
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links requirements/base.in -o requirements/base.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links -c requirements/base.txt requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
