# The only entry: people and CI call the same targets. `make help` lists them.
# ARGS goes to the program behind a target: `make bench ARGS="--row reload"`, `make test ARGS="-- reload"`.

SHELL  := /bin/bash
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
BINARY := $(TARGET)/release/clearway
LAB    := cargo run --profile lab --locked -p clearway-lab --

# The binary under test, also where CARGO_TARGET_DIR points elsewhere.
export CLEARWAY_BIN := $(BINARY)

.DEFAULT_GOAL := help
.PHONY: help setup build test demo bench bench-quick check reference man clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

setup: ## install by apt what is missing for the tests and the demo (needs root only then)
	@scripts/setup.sh

build: ## build a static target/release/clearway, for any Linux of this architecture
	scripts/build-static.sh

test: setup build ## run all tests; without root those that need it are reported as ignored
	cargo test --workspace --locked --no-fail-fast $(ARGS)

demo: setup build ## show every claim on real traffic, in about a minute once built (needs root)
	$(LAB) demo $(ARGS)

bench: setup build ## measure Clearway beside plain HAProxy; results in target/bench (needs root)
	$(LAB) bench $(ARGS)

bench-quick: setup build ## the same with fewer and shorter runs: does it work, not how fast
	$(LAB) bench --quick $(ARGS)

check: ## formatting, clippy, rustdoc, licences and sources of the dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	scripts/deny.sh

reference: build ## write docs/reference/settings.md anew from the settings table
	$(BINARY) settings > $(TARGET)/settings.md
	mv $(TARGET)/settings.md docs/reference/settings.md

man: build ## write the manual page to target/man/clearway.1
	mkdir -p $(TARGET)/man
	$(BINARY) man > $(TARGET)/man/clearway.1

clean: ## remove everything that was built
	cargo clean
