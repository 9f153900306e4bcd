# Everything one needs: `make serve` sets up and serves data/, `make test` sets up and passes the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup
SERVE_FLAGS ?=
BENCH_FLAGS ?=
PEERS := .venv-peers
FRAMEWORKS := .venv-frameworks
SOAK_SECONDS ?= 3600

.PHONY: serve test test-frameworks soak check format bench peers clean

serve: $(SETUP)
	$(BIN)/batchlens serve $(SERVE_FLAGS)

test: $(SETUP)
	$(BIN)/pytest

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

clean:
	rm -rf $(VENV) $(PEERS) $(FRAMEWORKS) dist build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis

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

# Training frameworks pin what they need as they like, so they have an environment of their own, too.
$(FRAMEWORKS)/.setup: pyproject.toml
	test -x $(FRAMEWORKS)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[frameworks]'
	touch $(FRAMEWORKS)/.setup
