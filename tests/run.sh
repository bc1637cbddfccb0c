#!/bin/sh
# Runs every test, whatever fails, and ends with the sum over all: sh tests/run.sh [CARGO-TEST-ARGUMENT...]
set -u
cd "$(dirname "$0")/.."

log=target/test.log
mkdir -p target
# The status of the first command of a pipe is not to be had in sh.
{ cargo test --workspace --no-fail-fast "$@" 2>&1 3>&-; echo "status $?" >&3; } 3>"$log.status" | tee "$log"
read -r _ status <"$log.status"

# Both kinds of harness: libtest says `ignored, REASON`, libtest-mimic `ignored (REASON)`.
awk -v status="$status" '
    /^test result: / {
        gsub(/[;.]/, "")
        for (i = 2; i <= NF; i++) sum[$i] += $(i - 1)
        next
    }
    /^test .* \.\.\. FAILED/ { failures[++failed_count] = $2 " of " program; next }
    /^test .* \.\.\. ignored/ {
        reason = $0
        sub(/.* \.\.\. ignored[, (]*/, "", reason)
        sub(/\)$/, "", reason)
        reasons[reason == "" ? "no reason given" : reason]++
        next
    }
    /^ *(Running|Doc-tests) / { program = $0; sub(/^ *(Running( unittests)?|Doc-tests) */, "", program); sub(/ .*/, "", program) }
    /process didn.t exit successfully/ && /signal:|exit status: / && !/exit status: 101\)/ { broken[++broken_count] = program }
    /^error: could not compile/ { broken[++broken_count] = substr($0, 8) }
    END {
        print ""
        for (i = 1; i <= failed_count; i++) print "failed: " failures[i]
        for (i = 1; i <= broken_count; i++) print "ended without a result: " broken[i]
        if (sum["ignored"]) print "ignored, and how many:"
        for (reason in reasons) printf "%6d  %s\n", reasons[reason], reason | "sort -rn"
        close("sort -rn")
        printf "%d passed, %d failed, %d ignored", sum["passed"], sum["failed"], sum["ignored"]
        if (status != 0 && !sum["failed"]) printf "; cargo test ended with status %d", status
        print ""
    }
' "$log"
exit "$status"
