# The commands a person types. `make help` lists them.

TARGET  := x86_64-unknown-linux-gnu
DIST    := target/dist/supplant
# Static, at a fixed address: no dynamic linker and no relocations at start. The target is named so that the flags do
# not reach build scripts and proc macros, which cannot be built this way.
STATIC  := -C target-feature=+crt-static -C relocation-model=static

# The same Rust, linker and C library build the same bytes in every folder and for every user. Messages name the files of
# this folder, of cargo and of Rust's own source by these names instead. Nothing else depends on the folder: cargo hashes
# the paths of the workspace from its root, and leaves these options out of the hashes that symbols contain.
CARGO_HOME ?= $(HOME)/.cargo
SYSROOT  = $(shell rustc --print sysroot)
COMMIT   = $(shell rustc -vV | sed -n 's/^commit-hash: //p')
REMAP    = '--remap-path-prefix=$(CURDIR)=/supplant' '--remap-path-prefix=$(CARGO_HOME)=/cargo' \
		'--remap-path-prefix=$(SYSROOT)/lib/rustlib/src/rust=/rustc/$(COMMIT)'
# In this form a path may contain a blank.
FLAGS    = CARGO_ENCODED_RUSTFLAGS="$$(printf '\037%s' $(REMAP) $(1) | cut -c2-)"

.DEFAULT_GOAL := build

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the command for development
	cargo build --workspace

.PHONY: release
release: ## Build the distributable command, target/dist/supplant: static, fastest to start
	$(call FLAGS,$(STATIC)) cargo build --release --no-default-features --bin supplant --target $(TARGET) \
		--target-dir target/static
	@mkdir -p $(dir $(DIST))
	cp target/static/$(TARGET)/release/supplant $(DIST)

LIBRARY   = $(FLAGS) cargo build --release --package supplant-interpose --target-dir target/interpose

.PHONY: interpose
interpose: ## Build target/dist/libsupplant.so, for C programs, and libsupplant_interpose.so, to preload
	@mkdir -p $(dir $(DIST))
	$(LIBRARY) --no-default-features
	cp target/interpose/release/libsupplant_interpose.so $(dir $(DIST))libsupplant.so
	$(LIBRARY)
	cp target/interpose/release/libsupplant_interpose.so $(dir $(DIST))libsupplant_interpose.so

PREFIX  ?= /usr/local
VERSION := $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)

.PHONY: install-interpose
install-interpose: interpose ## Install the two libraries, the C header and the pkg-config file: PREFIX=/usr/local
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include
	install $(dir $(DIST))libsupplant.so $(dir $(DIST))libsupplant_interpose.so $(DESTDIR)$(PREFIX)/lib
	install -m 644 loader/interpose/include/supplant.h $(DESTDIR)$(PREFIX)/include
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' loader/interpose/supplant.pc.in \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/supplant.pc

.PHONY: run
run: ## Run a program: make run ARGS='/bin/ls -l'
	cargo run --release --quiet -- run $(ARGS)

.PHONY: man
man: ## Write the man pages to target/man
	cargo run --quiet -- manual --man target/man

.PHONY: completions
completions: ## Write the completions for bash, zsh, fish, elvish and PowerShell to target/completions
	cargo run --quiet -- manual --completions target/completions

.PHONY: install-packages
install-packages: # What the tests use where it is there; as root on Debian it is installed
	@sh tests/install-packages.sh

.PHONY: test-binaries
test-binaries: install-packages ## Build the little programs that the tests run
	$(MAKE) -C test-binaries

.PHONY: test
test: test-binaries release interpose ## Everything that is tested, in less than ten minutes; as root on Debian it installs what is missing
	@sh tests/run.sh

# What those need who take the library for loading alone.
NEEDED := cargo tree --package supplant-loader --no-default-features --features exec --edges normal --depth 1 \
		--prefix none --format '{p}' | sed '1d; s/ .*//' | sort | xargs

.PHONY: lint
lint: ## Formatting, clippy and rustdoc, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --package supplant-loader --no-default-features --features exec -- -D warnings
	@test "$$($(NEEDED))" = "goblin libc log memmap2 nix thiserror" || \
		{ echo "the library needs more than it may: $$($(NEEDED))"; exit 1; }
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	RUSTDOCFLAGS="-D warnings" cargo doc --package supplant-loader --no-deps --target-dir target/lint

EXECUTABLES := find /usr/bin /usr/sbin /usr/lib /usr/local -type f -perm /111

.PHONY: sweep
sweep: release ## Compare every executable of the machine; run every program with --version and --help
	$(EXECUTABLES) | $(DIST) compare --files-from -
	$(EXECUTABLES) | setarch -R $(DIST) compare --files-from -
	if [ "$$(id -u)" = 0 ]; then $(EXECUTABLES) | \
		setpriv --reuid=65534 --regid=65534 --clear-groups $(DIST) compare --files-from -; fi
	cargo test --test sweep -- --all

.PHONY: vectors
vectors: ## Write the generated ELF files, what this kernel does with each, and a runner to target/vectors
	VECTORS=$(CURDIR)/target/vectors cargo test --test headers

.PHONY: mutate
mutate: test-binaries ## Compare random mutations of real programs: make mutate SEED=1 N=10000
	SEED=$(or $(SEED),1) COUNT=$(or $(N),10000) cargo test --test mutate

.PHONY: bench
bench: release ## Compare start times with those of env(1): ratios, measured alternately
	cargo bench

.PHONY: pictures
pictures: ## Make the pictures of docs/generated anew
	cargo build
	sh docs/pictures.sh $(CURDIR)/target/debug/supplant

.PHONY: doc
doc: ## The library's documentation
	cargo doc --workspace --no-deps --open

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
