# The only entry: people and CI call the same targets. `make help` lists them.
# ARGS goes to the program behind a target: `make bench ARGS="--row reload"`, `make test ARGS="-- reload"`.

SHELL  := /bin/bash
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
BINARY := $(TARGET)/release/clearway
LAB    := cargo run --profile lab --locked -p clearway-lab --

# The binary under test, also where CARGO_TARGET_DIR points elsewhere.
export CLEARWAY_BIN := $(BINARY)
# The same with a hook for the tests, see `test-steps`.
export CLEARWAY_STEPS_BIN := $(TARGET)/debug/clearway-steps
# The image under test. Another one is tested as it is: `make test CLEARWAY_IMAGE=...`.
export CLEARWAY_IMAGE ?= clearway:test

.DEFAULT_GOAL := help
.PHONY: help setup build image test test-image test-steps test-haproxy test-kernels test-regtests test-deb deb release pictures demo bench bench-quick bench-soak bench-reload bench-events bench-transparent check reference man clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: ## install by apt what is missing for the tests and the demo (needs root only then)
	@scripts/setup.sh

build: ## build a static target/release/clearway, for any Linux of this architecture
	scripts/build-static.sh

image: build ## build the container image: clearway:VERSION; BASE=, IMAGE=, ARCHITECTURE=, ENGINE= (scripts/image.sh)
	scripts/image.sh

test: setup build test-image test-steps ## run all tests; without root, or without Docker, those that need it are reported as ignored
	scripts/test.sh $(ARGS)

test-image: build ## build the image that the tests use, clearway:test, where Docker runs or can be started
	scripts/test-image.sh

# All members, so that what was built for `cargo test` will do; and a name of its own, so that nothing replaces it.
test-steps: ## build a Clearway that tells tests each step of a reload: target/debug/clearway-steps
	cargo build --workspace --locked --bin clearway --features clearway/test-steps
	cp --remove-destination $(TARGET)/debug/clearway $(CLEARWAY_STEPS_BIN)

test-haproxy: build test-image test-steps ## run what deals with HAProxy against 2.6, 3.0, 3.2 and 3.4 (needs root, and Debian's archive)
	scripts/test-haproxy.sh $(ARGS)

test-kernels: build ## run what deals with the kernel on 5.10, 6.1, 6.12 and the newest, in virtual machines (the same)
	scripts/test-kernels.sh $(ARGS)

test-regtests: build ## run HAProxy's own regression tests with and without Clearway, for 2.6, 3.0, 3.2 and 3.4; ARGS=bookworm (the same)
	scripts/test-regtests.sh $(ARGS)

.PHONY: test-apply
test-apply: setup ## apply 10,000 edits to running HAProxys (2.6, 3.0, 3.2, 3.4) and compare with fresh starts; PAIRS=1000 SEED=7 (needs Debian's archive)
	scripts/test-apply.sh $(ARGS)

.PHONY: fuzz
fuzz: ## give every parser any input, for a minute each; ARGS="--seconds 10", ARGS=takeover
	@scripts/setup.sh fuzz
	scripts/fuzz.sh $(ARGS)

deb: build ## build the Debian packages, amd64 and arm64 (ARGS="amd64" for one), into target/packages
	@scripts/setup.sh deb
	scripts/deb.sh $(ARGS)

release: build ## leave binaries, packages, checksums and the SBOM in target/release-VERSION
	@scripts/setup.sh deb
	scripts/release.sh files

test-deb: build ## install, upgrade, remove and purge the package, and try haproxy.service's drop-in, under a real systemd (needs root)
	@scripts/setup.sh deb
	@scripts/setup.sh roots
	scripts/test-deb.sh $(ARGS)

pictures: setup build test-steps ## make the pictures of docs/how-to/page.md anew, by its tests (needs root)
	mkdir -p docs/images
	CLEARWAY_PICTURES=$(abspath docs/images) cargo test --locked -p clearway-lab --test end_to_end -- it_can_be_read

demo: setup build ## show every claim on real traffic, in about a minute once built (needs root)
	$(LAB) demo $(ARGS)

bench: setup build ## measure Clearway beside plain HAProxy, and ARGS="--former PATH" beside another Clearway; results in target/bench (needs root)
	$(LAB) bench $(ARGS)

bench-quick: setup build ## the same with fewer and shorter runs: does it work, not how fast
	$(LAB) bench --quick $(ARGS)

bench-soak: setup build ## N million connections (1) against ten reloads a second (or ARGS="--takeovers 1"): losses, percentiles, memory
	$(LAB) soak --millions $(or $(N),1) $(ARGS)

bench-reload: build ## every strategy, plain HAProxy and the original technique on one load, to docs/benchmarks/reload.md; ARGS="--quick", "--rate 500 --reloads 5 --rounds 3", "--side plug", "--former PATH"
	@scripts/setup.sh bench
	$(LAB) bench-reload $(ARGS)

bench-events: build ## reload, crash, kill, replacement and stop of Clearway, haproxy -W, the script of 2016, nginx and Caddy, to docs/benchmarks/events.md; ARGS="--quick", "--list", "--peer nginx", "--event crash", "--rounds 5"
	@scripts/setup.sh events
	$(LAB) bench-events $(ARGS)

bench-transparent: build ## what it costs that servers see the client, beside the iptables recipe, nginx and no proxy; ARGS=--quick
	@scripts/setup.sh bench
	$(LAB) bench-transparent $(ARGS)

check: ## formatting, clippy, rustdoc, licences and sources of the dependencies, workflows
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --bin clearway --features clearway/test-steps --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
# The binary is a library that shows nothing: what it has inside is looked at as well.
	RUSTDOCFLAGS="-D warnings" cargo doc -p clearway --no-deps --document-private-items --locked
	scripts/deny.sh
	scripts/workflows.sh

reference: build ## write docs/reference/settings.md, log-events.md, metrics.md and openapi.json anew from their tables
	$(BINARY) settings > $(TARGET)/settings.md
	mv $(TARGET)/settings.md docs/reference/settings.md
	$(BINARY) log-events > $(TARGET)/log-events.md
	mv $(TARGET)/log-events.md docs/reference/log-events.md
	$(BINARY) metrics --table > $(TARGET)/metrics.md
	mv $(TARGET)/metrics.md docs/reference/metrics.md
	CLEARWAY_WRITE_OPENAPI=1 cargo test -q -p clearway --locked the_description_is_made_from_the_types

man: build ## write the manual pages to target/man
	$(BINARY) man --directory $(TARGET)/man

clean: ## remove everything that was built
	cargo clean
