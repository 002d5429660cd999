# Every job of the project. `make help` lists them. All of them set up what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv

# Cases and data sets that tests and benches measure against, where they lie beside the checkout.
export FEED_REFERENCE ?= $(abspath $(wildcard ../shared))

RUST_SOURCES := $(shell find rust benches/src -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-rust test-python stress fuzz lint bench bench-gpu conformance docs wheel clean

help: ## list the jobs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.built ## create .venv, install pinned dependencies, build the extension

$(VENV)/.tools:
	$(PYTHON) -m venv $(VENV) || { echo "hint: install the venv module (Debian: python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@touch $@

$(VENV)/.deps: $(VENV)/.tools constraints.txt pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python -r pyproject.toml --extra dev --extra data -c constraints.txt
	@touch $@

$(VENV)/.built: $(VENV)/.deps $(RUST_SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked --uv --skip-install
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## a community, its feed, and why: half a minute
	$(BIN)/xfeed demo

test: test-rust test-python ## all tests

test-rust:
	cargo test --locked --workspace

test-python: setup
	$(BIN)/python -m pytest

# Another seed every time; a failure prints it, and SEED=… repeats the run.
SEED ?= $(shell date +%s)

stress: setup ## what takes minutes: random seeds, every interleaving, attacks, kills
	PROPTEST_CASES=1000 PROPTEST_RNG_SEED=$(SEED) XFEED_DAMAGE_ROUNDS=1000 \
		cargo test --locked --release -p xfeed-core --tests -- --include-ignored
	RUSTFLAGS="--cfg loom" cargo test --locked --release -p xfeed-core --test loom --target-dir target/loom
	$(BIN)/python -m pytest -m stress

# libFuzzer's counters, by stable Rust; `cargo fuzz run` (nightly) works in fuzz/ as well.
FUZZ_TARGETS := index json protobuf snapshot store tensors
FUZZ_SECONDS ?= 60
FUZZ_FLAGS   := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares

fuzz: ## look for bytes that break a decoder, FUZZ_SECONDS=60 each
	cd fuzz && cargo run --locked --release --bin seeds corpus
	@mkdir -p fuzz/found
	cd fuzz && host=$$(rustc -vV | sed -n 's/^host: //p') && for target in $(FUZZ_TARGETS); do \
		RUSTFLAGS="$(FUZZ_FLAGS)" cargo run --locked --release --target $$host --bin $$target -- \
			corpus/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 \
			-artifact_prefix=found/$$target- -print_final_stats=1 || exit 1; done

lint: setup ## rustfmt, clippy, ruff, mypy, import rules, stubs against the binary
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m mypy.stubtest xfeed._core --mypy-config-file pyproject.toml

bench: setup ## side-by-side figures; ONLY=name runs one, QUICK=1 a small one
	$(UV) pip install --quiet --python $(BIN)/python -r pyproject.toml --extra bench -c constraints.txt
	$(BIN)/python benches/python/run.py $(if $(ONLY),--only $(ONLY))

# A GPU machine needs torch and NumPy alone; nothing is built there.
GPU_PYTHON ?= $(or $(wildcard $(BIN)/python),$(PYTHON))

bench-gpu: ## candidates/s on CUDA; GPU_FLAGS="--preset prod" and the like
	PYTHONPATH=python $(GPU_PYTHON) -m benches.python.gpu $(GPU_FLAGS)

conformance: setup ## the published behaviour, case by case
	@test -n "$(FEED_REFERENCE)" || { echo "there is no conformance folder: set FEED_REFERENCE"; exit 1; }
	$(BIN)/xfeed conformance --allow-unknown $(FEED_REFERENCE)/conformance

docs: setup ## write the generated tables of the documentation anew
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.tools ## one abi3 wheel in dist/
	rm -f dist/*.whl
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean: ## remove everything that was built, installed or made
	rm -rf $(VENV) target dist demo-data benches/results .mypy_cache .ruff_cache .pytest_cache
	find python -name '*.so' -delete
