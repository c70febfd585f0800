# Tandem. The two commands: make demo, make test.

CARGO ?= cargo

.PHONY: help setup build demo lab lab-stop test nightly fuzz bench bench-peers bench-media load image image-test fmt

help:
	@echo "make demo      calls through both planes, shown as they happen; takes everything down"
	@echo "make lab       the same set-up, left running for you to try; make lab-stop ends it"
	@echo "make test      all tests, those in network namespaces included"
	@echo "make nightly   what is too long for make test: simulation, fuzzing, soak"
	@echo "make bench     what a relayed packet, a call and a registration cost in our own code"
	@echo "make bench-peers  CPU time a call, beside Debian's Kamailio; ARGS=--help shows more"
	@echo "make load      the load generator, built to measure: target/release/tandem-load (docs/guide/load.md)"
	@echo "make bench-media  what a relayed packet costs, beside testpmd and Debian's RTPEngine; ARGS=--help shows more"
	@echo "make image     the appliance's image, in target/image (docs/guide/image.md)"
	@echo "make image-test  boots the image in QEMU, and all that goes with it"
	@echo "make setup     installs what is missing (Debian 12)"
	@echo "make fmt       formats the sources"

setup:
	@.ci/setup

build: setup
	$(CARGO) build --workspace --bins

demo: build
	@.ci/lab demo

lab: build
	@.ci/lab up

lab-stop:
	@.ci/lab down

test: setup
	@.ci/test

nightly: setup
	@.ci/test nightly

fuzz: setup
	@.ci/fuzz $(or $(SECONDS_EACH),20)

bench-peers: setup
	@.ci/setup peers
	$(CARGO) build --release --workspace --bins
	.ci/as-root target/release/tandem-bench-peers $(ARGS)

load: setup
	$(CARGO) build --release --package tandem-load
	@echo "target/release/tandem-load run PROFILE.toml; profiles:"
	@target/release/tandem-load list bench/load/profiles

bench-media: setup
	@.ci/setup peers
	$(CARGO) build --release --package tandem-dataplane --package tandem-bench-peers
	.ci/as-root target/release/tandem-bench-media $(ARGS)

bench: setup
	$(CARGO) run --release --package tandem-bench-micro
	$(CARGO) run --release --package tandem-bench-micro -- check
	$(CARGO) run --release --package tandem-bench-micro --bin tandem-bench-calls
	$(CARGO) run --release --package tandem-bench-micro --bin tandem-bench-registers
	$(CARGO) run --release --package tandem-bench-micro --bin tandem-bench-routes
	$(CARGO) run --release --package tandem-bench-micro --bin tandem-bench-rss
	$(CARGO) run --release --package tandem-bench-micro --bin tandem-bench-ports

image: setup
	@.ci/setup image
	@image/build

# One test alone: cargo test -p tandem-image-tests --test boot -- --ignored --exact bios
image-test: image
	$(CARGO) build --package tandem-load
	$(CARGO) test --package tandem-image-tests --locked --no-fail-fast -- --ignored --test-threads=1

fmt:
	$(CARGO) fmt --all
