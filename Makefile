# Two commands matter: `make demo` and `make test`. Both build .venv on first use.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
# The first that fits of the interpreters that are installed, or what `make PYTHON=…` names.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$each -c '$(FITS)' 2>/dev/null && echo $$each && break; done)
BIN := .venv/bin
# Where this is set, every process compiles all that it imports anew, torch included: 10 s each.
unexport PYTHONDONTWRITEBYTECODE
# Each process takes a file after the other, for tests of a file share what they set up. There is one
# more than processors at least: some tests wait for servers. Freed memory is kept (glibc): to hand it back
# and ask for it again takes a sixth of the time.
KEPT_MEMORY := MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=17179869184
PYTEST := env $(KEPT_MEMORY) $(BIN)/pytest -n 3 --dist loadfile --durations 15

.PHONY: demo demo-batch test test-fast test-long test-slow test-browser check bench lock sbom clean
.DEFAULT_GOAL := demo

.venv/.ready: requirements.lock pyproject.toml
	@if test -x $(BIN)/python; then :; \
	elif test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)'; then $(PYTHON) -m venv .venv; \
	elif command -v uv >/dev/null; then echo "uv brings Python 3.13 ..."; uv venv -q --seed -p 3.13 .venv; \
	else echo "Dubflow needs Python 3.11 to 3.14: install one, or uv, or name it: make PYTHON=…"; \
	exit 1; fi
	@echo "Installing into .venv (once; several GB, most of it torch) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable . \
	  --config-settings editable_mode=compat
	@touch $@

demo: .venv/.ready
	@$(BIN)/dubflow demo

check: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy --num-workers auto || $(BIN)/mypy  # on a busy machine its workers start too late

demo-batch: .venv/.ready
	@$(BIN)/dubflow demo-batch

test: check
	$(PYTEST) -m "not (slow or goldens or long or browser)"

test-fast: .venv/.ready
	$(PYTEST) -m "not (slow or goldens or long or dub or browser)"

test-long: .venv/.ready
	$(PYTEST) -m "(goldens or long) and not (slow or browser)"

test-slow: .venv/.ready
	$(BIN)/pytest --durations 15 -m slow

test-browser: .venv/.ready
	$(BIN)/pytest --durations 15 tests/browser

bench: .venv/.ready
	$(BIN)/python -m benchmarks.dub

lock: .venv/.ready
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-header \
	  --no-annotate --no-emit-index-url --generate-hashes --quiet --upgrade --output-file requirements.lock

sbom: .venv/.ready
	@$(BIN)/python docs/sbom.py > sbom.cdx.json
	@echo sbom.cdx.json

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
