# Everything one needs: `make serve` sets up and serves data/, `make test` sets up and passes the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup
SERVE_FLAGS ?=
BENCH_FLAGS ?=
PEERS := .venv-peers
GENERATORS := .venv-generators
FRAMEWORKS := .venv-frameworks
SOAK_SECONDS ?= 3600
UV ?= uv

.PHONY: serve test test-generators test-frameworks soak check format bench peers lock image-check clean

serve: $(SETUP)
	$(BIN)/batchlens serve $(SERVE_FLAGS)

test: $(SETUP)
	$(BIN)/pytest

# Clients that generators make from the API's description, for Python and TypeScript, against a real server; and a linter. Needs npm.
test-generators: $(SETUP) $(GENERATORS)/.setup
	$(BIN)/pytest tests/generators -m generators

# The loader in other people's training loops: Lightning, accelerate, transformers, ignite, torchdata.
test-frameworks: $(FRAMEWORKS)/.setup
	$(FRAMEWORKS)/bin/pytest tests/frameworks

# The long ones: an hour of mixed traffic, and workers killed for 30 seconds.
soak: $(SETUP)
	BATCHLENS_SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/pytest tests/reliability -m soak

check: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(SETUP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(SETUP)
	$(BIN)/python -m tests.benchmarks $(BENCH_FLAGS)

peers: $(PEERS)/.setup

# The versions of the image, with hashes: those that the tests here run with. Needs uv (https://docs.astral.sh/uv/), which asks PyPI; commit what it writes.
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --constraint $(VENV)/.tested.txt \
	--custom-compile-command 'make lock' --output-file
CPU_OMITTED = torch torchvision $(shell sed -n '/^\#/!s/;.*//p' deploy/cpu-overrides.txt)

lock: $(SETUP)
	$(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' > $(VENV)/.tested.txt
	$(LOCK) deploy/requirements-cuda.txt --extra gpu pyproject.toml
	$(LOCK) deploy/requirements-cpu.txt --extra gpu --override deploy/cpu-overrides.txt $(addprefix --no-emit-package ,$(CPU_OMITTED)) pyproject.toml
	$(LOCK) deploy/requirements-build.txt deploy/requirements-build.in
	{ grep '^#' deploy/torch.txt; grep -oE '^torch(vision)?==[^ ]+' deploy/requirements-cuda.txt; } > $(VENV)/.torch.txt
	mv $(VENV)/.torch.txt deploy/torch.txt
	rm $(VENV)/.tested.txt

# Builds the image and runs it, where there is a container engine; says so and fails where there is none.
image-check:
	sh tests/image_check.sh

clean:
	rm -rf $(VENV) $(PEERS) $(GENERATORS) $(FRAMEWORKS) dist build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis

$(SETUP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Batchlens needs Python 3.11 or later; try make PYTHON=python3.11")'
	@echo "Setting up $(VENV). PyTorch alone is gigabytes: the first time takes minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,gpu]'
	touch $(SETUP)

# The loaders that `make bench` compares with, in an environment of their own: what they need must not change what the service runs on.
$(PEERS)/.setup: pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check '.[bench]'
	touch $(PEERS)/.setup

# The generators, from PyPI and npm, in an environment of their own: the service and its other tests need none of them.
$(GENERATORS)/.setup: tests/generators/requirements.txt tests/generators/package.json
	test -x $(GENERATORS)/bin/python || $(PYTHON) -m venv $(GENERATORS)
	$(GENERATORS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/generators/requirements.txt
	cp tests/generators/package.json $(GENERATORS)/
	npm install --prefix $(GENERATORS) --silent --no-audit --no-fund
	touch $(GENERATORS)/.setup

# Training frameworks pin what they need as they like, so they have an environment of their own, too.
$(FRAMEWORKS)/.setup: pyproject.toml
	test -x $(FRAMEWORKS)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[frameworks]'
	touch $(FRAMEWORKS)/.setup
