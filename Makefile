# Every target makes its own environment; nothing is expected but Python 3.11+, git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check bench bench-large docs clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed"; echo "hint:  make PYTHON=/path/to/python3.11"; exit 4; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(STAMP): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[print,scan,fast]'
	@touch $@

$(VENV)/.dev: $(STAMP)
	$(BIN)/python -m pip install --quiet --group dev --editable '.[print,scan,fast,service,postgres,redis]'
	@$(BIN)/python -m pip install --quiet --editable '.[pkcs11]' || echo "notice: python-pkcs11 could not be installed; its tests are skipped"
	@touch $@

demo: $(STAMP)
	$(BIN)/ewallet demo --out ./demo-out

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/browser
	@# By themselves: the browser's driver keeps a loop running in its process, which others cannot share.
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/browser

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(BIN)/python mkdocs.yml
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

bench: $(VENV)/.dev
	@$(BIN)/python scripts/interop.py >/dev/null || echo "notice: the peers could not be installed; only our own figures"
	$(BIN)/python -m benchmarks --out bench-out

bench-large: $(VENV)/.dev
	@$(BIN)/python scripts/interop.py >/dev/null || echo "notice: the peers could not be installed; only our own figures"
	$(BIN)/python -m benchmarks --large --out bench-out

clean:
	rm -rf $(VENV) .venv-peers demo-out bench-out site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
