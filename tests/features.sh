#!/bin/sh
# Checks each crate with each combination of its features, warnings as errors.
set -eu
cd "$(dirname "$0")/.."

# Every subset of the words that follow, one a line, with commas; the empty one first.
subsets() {
	if [ $# = 0 ]; then
		echo
		return
	fi
	first=$1
	shift
	subsets "$@" | while read -r subset; do
		echo "$subset"
		echo "$first${subset:+,$subset}"
	done
}

for manifest in Cargo.toml loader/Cargo.toml loader/*/Cargo.toml; do
	features=$(sed -n '/^\[features\]/,/^\[[^f]/s/^\([a-z0-9_-]*\) = .*/\1/p' "$manifest" | grep -v '^default$' || true)
	[ -n "$features" ] || continue
	# shellcheck disable=SC2086
	subsets $features | while read -r subset; do
		echo "$manifest: --features '$subset'"
		cargo clippy --quiet --manifest-path "$manifest" --no-default-features --features "$subset" -- -D warnings </dev/null
	done
done
