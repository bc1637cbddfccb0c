#!/bin/sh
# Installs what the tests use where it is missing: as root on Debian. Elsewhere the tests that need it are ignored.
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

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing && exit 0
fi
echo "not installed:$missing; the tests that need it are ignored" >&2
