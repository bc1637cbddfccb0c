#!/bin/sh
# Searches with libFuzzer: sh tests/fuzz/run.sh MINUTES [TARGET...]. The minutes are for all targets together.
set -u
cd "$(dirname "$0")/../.."

minutes=$1
shift
here=tests/fuzz/libfuzzer
work=$PWD/target/fuzz
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(sed -n 's|^path = "targets/\(.*\)\.rs"|\1|p' $here/Cargo.toml)

PATH=$PATH:$PWD/target/tools/bin
if ! cargo fuzz --version >/dev/null 2>&1; then
	echo "no cargo-fuzz: it is installed into target/tools, which takes a few minutes"
	cargo install cargo-fuzz --locked --quiet --root target/tools ||
		{ echo "cargo-fuzz cannot be installed: cargo install cargo-fuzz"; exit 1; }
fi
# Without a sanitizer, which only a nightly Rust has: the code under test is safe.
cargo fuzz build --fuzz-dir $here --target-dir "$work" --sanitizer none ||
	{ echo "libFuzzer needs a C++ compiler (g++ or clang++)"; exit 1; }

status=0
seconds=$((minutes * 60 / $#))
for target; do
	mkdir -p "$work/corpus/$target" "$work/found/$target"
	echo "$target: $seconds seconds"
	# The first folder gets new inputs. libFuzzer's own output is kept, and only its last words are shown.
	"$work"/*/release/"$target" -max_total_time=$seconds -max_len=2048 -len_control=0 -timeout=30 \
		-artifact_prefix="$work/found/$target/" "$work/corpus/$target" "$PWD/tests/fuzz/corpus/$target" \
		>"$work/$target.log" 2>&1
	ended=$?
	grep -E '^#[0-9]+[[:space:]]+DONE' "$work/$target.log"
	if [ $ended != 0 ]; then
		status=1
		sed -n '/panicked at/,/^stack backtrace/p' "$work/$target.log"
		grep 'Test unit written to' "$work/$target.log"
		echo "$target found something: after the repair, copy this file into tests/fuzz/corpus/$target"
	fi
done
exit $status
