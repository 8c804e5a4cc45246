# The menu. Anything with an `if` in it lives in crates/xtask or scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo test bench stopping lint fmt tidy deny advisories

EXAMPLE ?= shop
PORT ?= 8080

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## Run examples/shop until Ctrl-C and print its URLs (EXAMPLE=hello, PORT=8081)
	@scripts/setup demo
	cargo build --locked --package gable
	target/debug/gable up examples/$(EXAMPLE) --yes --port $(PORT)

test: ## Install what the tests need and run all of them
	@scripts/setup test
	cargo test --locked --workspace

bench: ## Run the benchmarks beside their peers
	@scripts/setup bench
	cargo build --locked --release --package gable
	cargo build --locked --release --package engine --examples
	cargo bench --locked --package testkit --bench platform

stopping: ## Stop real programs in the middle of their work and print docs/stopping.md's table (root, network)
	@scripts/stopping

lint: ## Check formatting and lints, warnings denied
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## Format the code
	cargo fmt --all

tidy: ## Check layers, file sizes, documentation pages, examples
	cargo run --locked --quiet --package xtask -- tidy

deny: ## Check licences, duplicates and sources of dependencies
	@scripts/setup ci
	cargo deny --locked check bans licenses sources

advisories: ## Check dependencies against the advisory database (needs the network; runs on a clock)
	@scripts/setup ci
	cargo deny --locked check advisories
