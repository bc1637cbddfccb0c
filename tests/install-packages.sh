#!/bin/sh
# Installs what the tests use where it is missing: as root on Debian, unless INSTALL=no. Elsewhere the tests that need it
# are ignored, with the reason.
set -eu

missing=
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need gcc gcc
need g++ g++
need make make
need musl-gcc musl-tools
need busybox busybox-static
need perl perl
need git git
need setarch util-linux
need strace strace
need pkg-config pkg-config
need python3 python3
need nm binutils
need gdb gdb
need gdbserver gdbserver
need qemu-x86_64 qemu-user
need groff groff
need perf linux-perf
need chromium chromium
# No command: symbols of the C library, by which gdb goes back from ld.so.
[ -d /usr/lib/debug/.build-id ] || missing="$missing libc6-dbg"

[ -n "$missing" ] || exit 0
if [ "${INSTALL:-yes}" = no ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing; the tests that need it are ignored" >&2
    exit 0
fi
echo "installing what the tests use, by apt-get (INSTALL=no keeps from that):$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q || true
# One by one: what a release does not have must not keep the others away.
for package in $missing; do
    apt-get install -y -q --no-install-recommends "$package" >/dev/null || refused="${refused:-} $package"
done
[ -z "${refused:-}" ] || echo "not to be had:$refused; the tests that need it are ignored" >&2
