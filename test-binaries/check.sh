#!/bin/sh
# Checks the test programs before they are used to check anything else: each runs under the kernel's own execve, with
# and without address space randomisation, as this user and (for root) as nobody, and must exit with 42; and each
# flavour must be the kind of ELF file that its name says.
# Usage: check.sh DIRECTORY
failures=0

complain() {
    echo "check: $*" >&2
    failures=$((failures + 1))
}

# check_kind FILE FLAVOUR
check_kind() {
    type=$(readelf -hW "$1" | sed -n 's/^ *Type: *\([A-Z]*\).*/\1/p')
    interp=$(readelf -lW "$1" | sed -n 's/.*interpreter: \(.*\)]/\1/p')
    case $2 in
        glibc-pie) wanted="DYN /lib64/ld-linux-x86-64.so.2" ;;
        glibc-nopie) wanted="EXEC /lib64/ld-linux-x86-64.so.2" ;;
        musl-pie) wanted="DYN /lib/ld-musl-x86_64.so.1" ;;
        musl-nopie) wanted="EXEC /lib/ld-musl-x86_64.so.1" ;;
        *-static-pie) wanted="DYN " ;;
        *-static) wanted="EXEC " ;;
        *) return ;;
    esac
    [ "$type $interp" = "$wanted" ] || complain "$1 is \"$type $interp\", not \"$wanted\""
}

# check_run FILE COMMAND...: the command starts the file
check_run() {
    file=$1
    shift
    set -- "$@" "$file"
    [ "${file##*/}" = scan ] && set -- "$@" 00112233445566778899aabbccddeeff
    errors=$("$@" 2>&1 >/dev/null </dev/null)
    code=$?
    [ $code = 42 ] || complain "$*: $code $errors"
}

check() {
    check_kind "$1" "$2"
    check_run "$1" env
    check_run "$1" setarch -R
    if [ "$(id -u)" = 0 ]; then
        check_run "$1" setpriv --reuid=65534 --regid=65534 --clear-groups
        check_run "$1" setpriv --reuid=65534 --regid=65534 --clear-groups setarch -R
    fi
}

count=0
for directory in "${1:?usage: check.sh DIRECTORY}"/*/; do
    directory=${directory%/}
    for file in "$directory"/*; do
        case $file in */tiny_interp | */exec_interp) continue ;; esac # no programs by themselves
        check "$file" "${directory##*/}"
        count=$((count + 1))
    done
done
echo "check: $count programs, $failures failures"
[ $failures = 0 ]
