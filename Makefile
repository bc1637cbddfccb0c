# The commands for developers and packagers. `make help` lists them.

VERSION := $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
TRIPLE  := x86_64-unknown-linux-gnu
DIST    := target/dist/supplant
# Static, at a fixed address: no dynamic linker and no relocations at start. The target is named so that the flags do
# not reach build scripts and proc macros, which cannot be built this way.
STATIC  := -C target-feature=+crt-static -C relocation-model=static

# The same Rust, linker and C library build the same bytes in every folder and for every user. Messages use these names for
# the files of this folder, of cargo and of Rust's own source. Nothing else depends on the folder: cargo hashes
# the paths of the workspace from its root, and leaves these options out of the hashes that symbols contain.
CARGO_HOME ?= $(HOME)/.cargo
SYSROOT  = $(shell rustc --print sysroot)
COMMIT   = $(shell rustc -vV | sed -n 's/^commit-hash: //p')
REMAP    = '--remap-path-prefix=$(CURDIR)=/supplant' '--remap-path-prefix=$(CARGO_HOME)=/cargo' \
		'--remap-path-prefix=$(SYSROOT)/lib/rustlib/src/rust=/rustc/$(COMMIT)'
# With this variable a path may contain a blank.
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
	$(call FLAGS,$(STATIC)) cargo build --release --no-default-features --bin supplant --target $(TRIPLE) \
		--target-dir target/static
	@mkdir -p $(dir $(DIST))
	cp target/static/$(TRIPLE)/release/supplant $(DIST)

# The number is the version of the C interface, not of the project: it changes only if a function is removed or changes its
# meaning, also while the project is at 0.x. No program links with the library to preload: its name has no number.
SONAME    := libsupplant.so.0
PRELOADED := libsupplant_interpose.so
LIBRARY    = $(FLAGS) cargo rustc --release --package supplant-interpose --lib --target-dir target/interpose
BUILT     := target/interpose/release/libsupplant_interpose
EXPORTS   := supplant_execve supplant_execveat

.PHONY: interpose
interpose: ## Build target/dist/libsupplant.so and .a, for C programs, and libsupplant_interpose.so, to preload
	@mkdir -p $(dir $(DIST))
	$(LIBRARY) --no-default-features --crate-type cdylib,staticlib -- -C link-arg=-Wl,-soname,$(SONAME)
	cp $(BUILT).so $(dir $(DIST))$(SONAME)
	ln -sf $(SONAME) $(dir $(DIST))libsupplant.so
	# One object with two global symbols: Rust's own would clash with those of any other archive that Rust made.
	ld -r --gc-sections --force-group-allocation --strip-debug $(EXPORTS:%=-u %) -o $(BUILT).o $(BUILT).a
	objcopy $(EXPORTS:%=--keep-global-symbol=%) $(BUILT).o
	rm -f $(dir $(DIST))libsupplant.a
	ar rcsD $(dir $(DIST))libsupplant.a $(BUILT).o
	$(LIBRARY) --crate-type cdylib -- -C link-arg=-Wl,-soname,$(PRELOADED)
	cp $(BUILT).so $(dir $(DIST))$(PRELOADED)

MANPAGES    := target/man
COMPLETIONS := target/completions

.PHONY: dist
dist: release interpose man completions ## Build all that `make install` installs

# Where files are installed: `make install PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu`. DESTDIR is put before every path.
PREFIX       ?= /usr/local
BINDIR       ?= $(PREFIX)/bin
LIBDIR       ?= $(PREFIX)/lib
INCLUDEDIR   ?= $(PREFIX)/include
DATADIR      ?= $(PREFIX)/share
MANDIR       ?= $(DATADIR)/man
DOCDIR       ?= $(DATADIR)/doc/supplant
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
BASHDIR      ?= $(DATADIR)/bash-completion/completions
ZSHDIR       ?= $(DATADIR)/zsh/site-functions
FISHDIR      ?= $(DATADIR)/fish/vendor_completions.d
DOCS         := README.md CHANGELOG.md PARITY.md LICENSE-MIT LICENSE-APACHE $(wildcard docs/*.md docs/generated/*)
EXAMPLES     := become.c become.py

# Existing files are installed as they are, so that root needs no cargo for `make dist && sudo make install`. Missing files
# are built.
$(DIST):
	$(MAKE) release
$(addprefix $(dir $(DIST)),$(SONAME) libsupplant.a $(PRELOADED)) &:
	$(MAKE) interpose
$(MANPAGES)/supplant.1:
	$(MAKE) man
$(COMPLETIONS)/supplant.bash:
	$(MAKE) completions

.PHONY: install
install: install-command install-interpose ## Install everything: PREFIX=/usr/local DESTDIR= LIBDIR= MANDIR= and others

.PHONY: install-command
install-command: $(DIST) $(MANPAGES)/supplant.1 $(COMPLETIONS)/supplant.bash
install-command: ## Install the command with man pages, completions and documents
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(MANDIR)/man1 $(BASHDIR) $(ZSHDIR) $(FISHDIR))
	install $(DIST) $(DESTDIR)$(BINDIR)
	install -m 644 $(MANPAGES)/supplant*.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(COMPLETIONS)/supplant.bash $(DESTDIR)$(BASHDIR)/supplant
	install -m 644 $(COMPLETIONS)/_supplant $(DESTDIR)$(ZSHDIR)
	install -m 644 $(COMPLETIONS)/supplant.fish $(DESTDIR)$(FISHDIR)
	for file in $(DOCS); do install -D -m 644 $$file $(DESTDIR)$(DOCDIR)/$$file || exit 1; done

.PHONY: install-interpose
install-interpose: $(addprefix $(dir $(DIST)),$(SONAME) libsupplant.a $(PRELOADED))
install-interpose: ## Install the libraries (for C, and to preload), header, pkg-config file, man pages and examples
	install -d $(addprefix $(DESTDIR),$(LIBDIR) $(PKGCONFIGDIR) $(INCLUDEDIR) $(MANDIR)/man3 $(DOCDIR)/examples)
	install $(dir $(DIST))$(SONAME) $(dir $(DIST))$(PRELOADED) $(DESTDIR)$(LIBDIR)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libsupplant.so
	install -m 644 $(dir $(DIST))libsupplant.a $(DESTDIR)$(LIBDIR)
	install -m 644 loader/interpose/include/supplant.h $(DESTDIR)$(INCLUDEDIR)
	install -m 644 loader/interpose/man/*.3 $(DESTDIR)$(MANDIR)/man3
	install -m 644 $(EXAMPLES:%=loader/interpose/examples/%) $(DESTDIR)$(DOCDIR)/examples
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' \
		-e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|' \
		loader/interpose/supplant.pc.in >$(DESTDIR)$(PKGCONFIGDIR)/supplant.pc

.PHONY: uninstall
uninstall: ## Remove what `make install` installs, from the same places
	rm -f $(DESTDIR)$(BINDIR)/supplant $(DESTDIR)$(MANDIR)/man1/supplant.1 $(DESTDIR)$(MANDIR)/man1/supplant-*.1
	rm -f $(DESTDIR)$(BASHDIR)/supplant $(DESTDIR)$(ZSHDIR)/_supplant $(DESTDIR)$(FISHDIR)/supplant.fish
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,$(SONAME) libsupplant.so libsupplant.a $(PRELOADED))
	rm -f $(DESTDIR)$(INCLUDEDIR)/supplant.h $(DESTDIR)$(PKGCONFIGDIR)/supplant.pc
	rm -f $(EXPORTS:%=$(DESTDIR)$(MANDIR)/man3/%.3)
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,$(DOCS) $(EXAMPLES:%=examples/%))
	@for own in docs/generated docs examples ''; do \
		[ ! -d $(DESTDIR)$(DOCDIR)/$$own ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(DOCDIR)/$$own; done

.PHONY: deb
deb: dist ## Build a Debian package, target/debian/supplant_VERSION_amd64.deb (needs cargo-deb)
	@cargo deb --version >/dev/null 2>&1 || { echo "no cargo-deb: cargo install cargo-deb"; exit 1; }
	rm -rf target/deb
	$(MAKE) install DESTDIR=target/deb PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu ZSHDIR=/usr/share/zsh/vendor-completions
	# Debian lists the licences in a separate file, and its shared libraries are not executable.
	rm target/deb/usr/share/doc/supplant/LICENSE-*
	chmod 644 target/deb/usr/lib/x86_64-linux-gnu/*.so*
	strip --strip-unneeded target/deb/usr/bin/supplant target/deb/usr/lib/x86_64-linux-gnu/*.so.0 \
		target/deb/usr/lib/x86_64-linux-gnu/$(PRELOADED)
	cargo deb --no-build

.PHONY: run
run: ## Run a program: make run ARGS='/bin/ls -l'
	cargo run --release --quiet -- run $(ARGS)

.PHONY: man
man: ## Write the man pages to target/man
	cargo run --quiet -- manual --man $(MANPAGES)

.PHONY: completions
completions: ## Write the completions for bash, zsh, fish, elvish and PowerShell to target/completions
	cargo run --quiet -- manual --completions $(COMPLETIONS)

.PHONY: install-packages
install-packages: # Packages that the tests use if they are installed; as root on Debian, this installs them
	@sh tests/install-packages.sh

.PHONY: test-binaries
test-binaries: install-packages ## Build the small programs that the tests run
	$(MAKE) -C test-binaries

.PHONY: test
test: test-binaries release interpose ## Run all tests, in less than ten minutes; as root on Debian, install missing packages
	@sh tests/run.sh

# The dependencies of a program that uses the library only for loading.
NEEDED := cargo tree --package supplant-loader --no-default-features --features exec --edges normal --depth 1 \
		--prefix none --format '{p}' | sed '1d; s/ .*//' | sort | xargs

.PHONY: lint
lint: ## Check formatting, clippy with every combination of features, rustdoc, dependencies and packages
	cargo fmt --all --check
	cargo fmt --check --manifest-path tests/fuzz/libfuzzer/Cargo.toml
	@sh tests/documents.sh
	cargo clippy --workspace --all-targets -- -D warnings
	@sh tests/features.sh
	@sh tests/dependencies.sh
	@test "$$($(NEEDED))" = "libc log memmap2 nix supplant-model" || \
		{ echo "the library has more dependencies than allowed: $$($(NEEDED))"; exit 1; }
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	RUSTDOCFLAGS="-D warnings" cargo doc --package supplant-loader --no-deps --target-dir target/lint
	$(MAKE) packages oldest

# The oldest supported Rust. If it is not installed, only clippy checks (incompatible_msrv): it knows since which version
# the standard library has an item, and does not check syntax.
OLDEST := $(shell sed -n '/^rust-version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)

.PHONY: oldest
oldest: ## Check with the oldest supported Rust, if rustup has it
	@toolchain=$$(rustup toolchain list 2>/dev/null | sed -n 's/^\($(subst .,\.,$(OLDEST))[-.][^ ]*\).*/\1/p' | head -n 1); \
	if [ -n "$$toolchain" ]; then rustup run $$toolchain cargo check --workspace --target-dir target/oldest; \
	else echo "not checked with Rust $(OLDEST): rustup toolchain install $(OLDEST)"; fi

PACKED := target/packed

# cargo's own verification is not enough: cargo keeps the first supplant-loader of a version that it unpacks, and builds
# the others with that one from then on. So the files are unpacked here, into a separate workspace, with new times, because
# cargo compares times. It is offline: the earlier commands of lint have fetched everything.
.PHONY: packages
packages: ## Pack the crates as they are published, in target/package, and check them as packed
	cargo package --workspace --exclude supplant-test-support --exclude supplant-test-fuzz --offline --allow-dirty --no-verify
	@rm -rf $(PACKED) && mkdir -p $(PACKED)
	for crate in target/package/*-$(VERSION).crate; do tar -xzmf $$crate -C $(PACKED) || exit 1; done
	for crate in $(PACKED)/*; do (cd $$crate && ls README.md LICENSE-MIT LICENSE-APACHE >/dev/null) || exit 1; done
	cp Cargo.lock $(PACKED)
	printf '[workspace]\nmembers = ["*-$(VERSION)"]\nresolver = "3"\n[patch.crates-io]\n%s\n' \
		"$$(for crate in inspect loader model; do echo "supplant-$$crate = { path = \"supplant-$$crate-$(VERSION)\" }"; done)" \
		>$(PACKED)/Cargo.toml
	cargo check --workspace --offline --manifest-path $(PACKED)/Cargo.toml --target-dir target

EXECUTABLES := find /usr/bin /usr/sbin /usr/lib /usr/local -type f -perm /111

.PHONY: sweep
sweep: release ## Compare every executable on the machine; run every program with --version and --help
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

.PHONY: fuzz
fuzz: ## Search for faults with libFuzzer (cargo-fuzz): make fuzz MINUTES=10 TARGET=load, or all targets
	sh tests/fuzz/run.sh $(or $(MINUTES),10) $(TARGET)

.PHONY: faults
faults: release interpose ## Refuse every system call with every errno while programs are replaced and started
	FAULTS=all cargo test --test faults --test steps

.PHONY: soak
soak: test-binaries release interpose ## Replace programs and start children for a long time: make soak MINUTES=60
	SOAK=$(or $(MINUTES),10) cargo test --test soak -- --test-threads 1

.PHONY: bench
bench: release ## Compare start times with those of env(1): ratios, measured alternately
	cargo bench

.PHONY: pictures
pictures: ## Generate the pictures in docs/generated again
	cargo build
	sh docs/pictures.sh $(CURDIR)/target/debug/supplant

.PHONY: doc
doc: ## Build the library's documentation, and open it
	cargo doc --workspace --no-deps --open

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
