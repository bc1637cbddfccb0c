# The commands a person types. `make help` lists them.

TARGET  := x86_64-unknown-linux-gnu
DIST    := target/dist/supplant
# Static, at a fixed address: no dynamic linker and no relocations at start. The target is named so that the flags do
# not reach build scripts and proc macros, which cannot be built this way.
STATIC  := -C target-feature=+crt-static -C relocation-model=static

.DEFAULT_GOAL := build

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the command for development
	cargo build --workspace

.PHONY: release
release: ## Build the distributable command, target/dist/supplant: static, fastest to start
	RUSTFLAGS="$(STATIC)" cargo build --release --bin supplant --target $(TARGET) --target-dir target/static
	@mkdir -p $(dir $(DIST))
	cp target/static/$(TARGET)/release/supplant $(DIST)

.PHONY: run
run: ## Run a program: make run ARGS='/bin/ls -l'
	cargo run --release --quiet -- run $(ARGS)

.PHONY: install-packages
install-packages: # What the tests use where it is there; as root on Debian it is installed
	@sh tests/install-packages.sh

.PHONY: test-binaries
test-binaries: install-packages ## Build the little programs that the tests run
	$(MAKE) -C test-binaries

.PHONY: test
test: test-binaries release ## Everything that is tested, in less than eight minutes
	cargo test --workspace

.PHONY: lint
lint: ## Formatting, clippy and rustdoc, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

.PHONY: sweep
sweep: release ## Run every program of /usr/bin and /usr/sbin with --version and --help by the kernel and by us
	cargo test --release --test sweep -- --all

.PHONY: bench
bench: release ## Compare start times with those of env(1): ratios, measured alternately
	cargo bench

.PHONY: doc
doc: ## The library's documentation
	cargo doc --workspace --no-deps --open

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
