# The two commands of the README are `make try` and `make test`.

PYTHON ?= python3
VENV ?= .venv
REPO ?= .
MINUTES ?= 4

PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: try test check fast soak faults e2e-install clean
.DELETE_ON_ERROR:

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Attune into $(VENV) (torch is large; this takes a minute or two)"
	$(PIP) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what checks and tests need, llama.cpp built from its source included"
	CMAKE_ARGS="-DCMAKE_PROJECT_llama_cpp_INCLUDE=$(CURDIR)/.ci/llama-cpp.cmake" \
	CMAKE_BUILD_PARALLEL_LEVEL=2 $(PIP) --editable '.[dev]'
	touch $@

# Tune a prompt on a repository and show what it gained: make try [REPO=path] [MINUTES=4]
try: $(VENV)/installed
	@# exit code 1 is an answer too: the prompt did not prove itself
	$(VENV)/bin/attune tune "$(REPO)" --minutes $(MINUTES) || [ $$? -eq 1 ]

# Every check and every test, those in a real browser included. Installing what those need takes
# minutes, in which the checks and the tests that take seconds run.
test:
	$(MAKE) --jobs=2 e2e-install check fast
	cd vscode-client && npm run --silent check
	$(VENV)/bin/python -m pytest -m "slow or e2e" --durations=8

check: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Only the tests that take seconds.
fast: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest

# 20,000 mixed requests to a real server; what docs/reliability.md says of it. Short forms of this and
# of the next are among the tests.
soak: $(VENV)/installed-dev
	$(VENV)/bin/python -m benchmarks.soak

# Kill -9, a hundred times each, while prompts are written, pushed and tuned and an index is built.
faults: $(VENV)/installed-dev
	$(VENV)/bin/python -m benchmarks.faults

e2e-install: | $(VENV)/bin/python
	vscode-client/e2e/install.sh

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
