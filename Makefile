# Everything runs in a virtual environment of its own; what has not changed is not built again.
# Another Python, beside the first:  make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= $(shell for name in python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
ENGINE_SOURCES := $(shell find rust/*/src -type f) $(wildcard rust/*/Cargo.toml) \
	Cargo.toml Cargo.lock .cargo/config.toml pyproject.toml

# The environment above is the one to build for, whichever the caller has activated.
export VIRTUAL_ENV := $(abspath $(VENV))
export PYO3_PYTHON := $(VIRTUAL_ENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH

.PHONY: help demo test lint types test-rust test-python test-freethreaded races bench laws fuzz proof stress clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make demo    a group chat on AutoGen that cannot outspend its budget (ARGS="--seed 7")'
	@echo 'make test    every check: style, types, the engine, the package'
	@echo 'make lint    style only: cargo fmt, clippy, ruff'
	@echo 'make test-freethreaded    the thread tests on a Python without the GIL'
	@echo 'make fuzz    all that parses against its oracle, a minute each (TIME=600: ten)'
	@echo 'make laws    the property tests at length: 2,000 examples of 50 steps'
	@echo 'make proof   races explored at length, and the engine with its protections taken out'
	@echo 'make stress  10^9 racing operations on random trees (ARGS="1000000 --seed 7 --minutes 5")'
	@echo 'make bench   what it costs; benches/README.md has the numbers'
	@echo 'make clean   remove all that these made'

demo: $(VENV)/.engine
	$(BIN)/outlay demo $(ARGS)

test: lint types test-rust test-python

lint: $(VENV)/.tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# stubtest compares the committed stub with the compiled module, both ways.
types: $(VENV)/.engine $(VENV)/.tools
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml outlay._engine

# The other crate is tested through Python.
test-rust:
	cargo test --package outlay-core --locked
	RUSTFLAGS='--cfg loom' cargo test --release --package outlay-core --test loom --locked \
		--target-dir target/loom

test-python: $(VENV)/.engine $(VENV)/.tools
	$(BIN)/pytest $(ARGS)

# The thread tests where no GIL makes threads take turns, each of them four times at once. Its engine
# is built apart: without the GIL there is no stable ABI.
test-freethreaded:
	python=$$(tests/freethreaded_python.sh) && $(MAKE) --no-print-directory races \
		PYTHON=$$python VENV=.venv-freethreaded CARGO_TARGET_DIR=$(CURDIR)/target/freethreaded

RACES := $(wildcard $(addprefix tests/test_,$(addsuffix .py,threads wallet ledger laws linear)))

races: $(VENV)/.freethreaded
	$(BIN)/python -W error -c 'import sys, outlay; sys.exit(sys._is_gil_enabled())'
	$(BIN)/pytest --parallel-threads 4 $(RACES) $(ARGS)

$(VENV)/.freethreaded: $(VENV)/.pip $(ENGINE_SOURCES) tests/freethreaded_313.sh
	$(BIN)/python -m pip install --prefer-binary --group build --group freethreaded
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 14))'; then \
		$(BIN)/maturin develop --release --locked; else tests/freethreaded_313.sh $(VENV); fi
	@touch $@

laws: $(VENV)/.engine $(VENV)/.tools
	OUTLAY_PROFILE=nightly $(BIN)/pytest tests/test_laws.py --timeout 0

# libFuzzer on the engine, without the sanitizers that only a nightly compiler has; then the Python
# edge, round after round, each with a seed of its own.
TIME ?= 60
FUZZED := amount name label

fuzz: $(VENV)/.engine $(VENV)/.tools target/fuzz/bin/cargo-fuzz
	target/fuzz/bin/cargo-fuzz build --sanitizer none --fuzz-dir rust/core/fuzz --target-dir target/fuzz
	for name in $(FUZZED); do mkdir -p target/fuzz/corpus/$$name && target/fuzz/*/release/$$name \
		-max_total_time=$(TIME) -timeout=10 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=target/fuzz/$$name- target/fuzz/corpus/$$name || exit; done
	end=$$(($$(date +%s) + $(TIME))); while [ $$(date +%s) -lt $$end ]; do \
		$(BIN)/pytest tests/test_edge.py --quiet --hypothesis-seed $$(date +%s) || exit; done

target/fuzz/bin/cargo-fuzz:
	cargo install cargo-fuzz --version '^0.13' --locked --quiet --root target/fuzz

# Stops after an hour, or when nothing moves for a minute; the exit code says how it went.
# The models with more preemptions, the engine with one protection taken out at a time, and histories
# of threads and of random schedules at length.
proof:
	OUTLAY_PROOF=3 RUSTFLAGS='--cfg loom' cargo test --release --package outlay-core --test loom \
		--locked --target-dir target/loom
	$(PYTHON) rust/core/tests/loom/mutations.py
	OUTLAY_RUNS=100000 cargo test --package outlay-core --test linear --locked
	OUTLAY_RUNS=5000 RUSTFLAGS='--cfg shuttle' cargo test --package outlay-core --test linear \
		--locked --target-dir target/shuttle scheduled

stress:
	@cargo run --release --quiet --package outlay-core --example stress --locked -- $(ARGS)

bench: $(VENV)/.engine $(VENV)/.tools
	@cargo bench --quiet --package outlay-core --bench charge --locked -- $(ARGS)
	@$(BIN)/python benches/bench_python.py $(ARGS)

clean:
	rm -rf $(VENV) .venv-freethreaded target python/outlay/_engine*.so .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find python tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian's Python makes environments without pip unless python3-venv is installed; pip can step in.
$(VENV)/.pip:
	@test -n '$(PYTHON)' || { echo 'outlay needs Python 3.11 or newer: make PYTHON=...' >&2; exit 1; }
	if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv --clear $(VENV); else \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install pip; fi
	$(BIN)/python -m pip install 'pip>=25.1'
	@touch $@

$(VENV)/.tools: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --group test --group lint
	@touch $@

$(VENV)/.engine: $(VENV)/.pip $(ENGINE_SOURCES)
	@command -v cargo >/dev/null || { echo 'outlay needs a Rust toolchain: https://rustup.rs' >&2; exit 1; }
	$(BIN)/python -m pip install --group build
	$(BIN)/maturin develop --release --locked --extras autogen,cli
	@touch $@
