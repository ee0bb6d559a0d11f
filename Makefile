SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup build demo up test compose-test lint cli-docs bench chaos clean

# Where rustup puts cargo, also for a shell that has not been told yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## Check for what the build needs; install what is missing
	@scripts/setup.sh

build: setup ## Build the release binaries
	@cargo build --release --locked --workspace --bins

demo: build ## Show the whole path at work on a real Kafka and PostgreSQL
	@$(TARGET)/release/demo

up: build ## The demo's stack, kept running until Ctrl-C
	@$(TARGET)/release/demo --keep

test: setup ## Every test: unit, integration on real Kafka and PostgreSQL, end to end
	@cargo build --locked --workspace --bins
	@$(TARGET)/debug/with-stack -- cargo test --locked --workspace --no-fail-fast

compose-test: ## The compose stack from a clean checkout: nothing is lost when its containers restart (needs Docker)
	@scripts/compose-test.sh

lint: setup ## Formatting, clippy, documentation, dependency rules, scripts
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps
	scripts/deny.sh
	for script in .ci/run scripts/*.sh ops/*/*.sh; do bash -n "$$script"; done
	scripts/check-hygiene.sh
	scripts/check-compose.sh

cli-docs: setup ## Write docs/CLI.md out of calctl's own description
	@cargo run --quiet --locked -p calctl -- reference > $(TARGET)/CLI.md
	@mv $(TARGET)/CLI.md docs/CLI.md

bench: setup ## Measure against targets (ONLY=retrier: one scenario, STRICT=1: a missed target fails)
	@cargo build --profile dist --locked $(addprefix --bin ,ingest processor retrier calctl bench)
	@$(TARGET)/dist/bench $(if $(STRICT),--strict) $(ONLY)

chaos: build ## Break things at random under load and count what is lost
	@$(TARGET)/release/chaos

clean: ## Remove everything built, downloaded and left behind by tests
	@cargo clean
	@rm -rf data .demo
