#!/bin/sh
# What the published crates depend on: each licence allows what ours do, and there is no crate in two versions. Whether
# advisories are known about one, cargo-deny asks where it is installed and its database can be had.
set -eu
cd "$(dirname "$0")/.."

tree() {
	cargo tree --workspace --exclude supplant-test-support --exclude supplant-test-fuzz --all-features --edges normal,build --prefix none "$@"
}

others=$(tree --format '{l}  {p}' | grep -vE '(^|[ (/])MIT($|[ )/])' | grep -v '^ ' | sort -u)
[ -z "$others" ] || { echo "licences that have to be looked at:"; echo "$others"; exit 1; }

twice=$(tree --format '{p}' | awk '{ print $1, $2 }' | sort -u | awk '{ print $1 }' | uniq -d)
[ -z "$twice" ] || { echo "crates in two versions: $twice"; exit 1; }

if cargo deny --version >/dev/null 2>&1; then
	cargo deny check advisories
else
	echo "advisories are not checked: cargo install cargo-deny"
fi
