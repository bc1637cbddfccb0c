#!/usr/bin/env python3
"""Runs a loader over the vectors and says where it does something else than the kernel did. README.md says more."""

import argparse
import collections
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import zlib

ADDR_NO_RANDOMIZE = 0x0040000
RAN = 42
# A program that writes more is taken to write for ever.
OUTPUT_LIMIT = 8 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", action="store_true", help="compare what the programs find in memory as well")
    parser.add_argument("--only", metavar="TEXT", default="", help="only vectors whose name has this in it")
    parser.add_argument("--limit", metavar="SECONDS", type=float, default=10, help="for each; 10")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the loader printed")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the loader; {} is the program")
    options = parser.parse_args()
    if not options.command:
        parser.error("which loader?")
    return options


def without_randomization():
    """In the child. 0xffffffff asks only."""
    libc = ctypes.CDLL(None)
    libc.personality(libc.personality(0xFFFFFFFF) | ADDR_NO_RANDOMIZE)


def records(output):
    """From the end: bytes, address, what write answered."""
    found = []
    while len(output) >= 16:
        address = int.from_bytes(output[-16:-8], "little")
        answer = int.from_bytes(output[-8:], "little", signed=True)
        start = len(output) - 16 - max(answer, 0)
        if start < 0:
            break
        found.append((output[start:-16], address, answer))
        output = output[:start]
    return found[::-1]


def is_text(data):
    return bool(data) and data.isascii() and b"\0" not in data


def clocks(found):
    """Where the kernel keeps the time for the vDSO: never the same twice."""
    text = b"".join(data for data, _, _ in found if is_text(data)).decode()
    lines = [line.split()[0].split("-") for line in text.splitlines() if "[vvar" in line]
    return [(int(start, 16), int(end, 16)) for start, end in lines]


def pages_crc32(output):
    """Over the records that follow a map: an interpreter writes its own before the program's."""
    found = records(output)
    hidden = clocks(found)
    crc, in_pages = 0, False
    for data, address, answer in found:
        is_page = address % 4096 == 0 and not is_text(data)
        in_pages = is_text(data) or (in_pages and is_page)
        is_clock = any(start <= address < end for start, end in hidden)
        if in_pages and is_page and not is_clock:
            trailer = address.to_bytes(8, "little") + answer.to_bytes(8, "little", signed=True)
            crc = zlib.crc32(data + trailer, crc)
    return crc


def run(options, place):
    """How it ended, in the manifest's words, its output, and what it complained of."""
    words = options.command if "{}" in options.command else options.command + ["{}"]
    words = ["./program" if word == "{}" else word for word in words]
    with tempfile.TemporaryFile() as complaint:
        process = subprocess.Popen(words, cwd=place, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=complaint, preexec_fn=without_randomization)
        timer = threading.Timer(options.limit, process.kill)
        timer.start()
        output = process.stdout.read(OUTPUT_LIMIT + 1)
        is_endless = len(output) > OUTPUT_LIMIT or not timer.is_alive()
        if is_endless:
            process.kill()
        process.stdout.close()
        status = process.wait()
        timer.cancel()
        complaint.seek(0)
        return "endless" if is_endless else ending(status, output), output, complaint.read(4096)


def ending(status, output):
    if status < 0:
        return {"killed": -status}
    if status not in (0, RAN) and not output:
        return {"refused": None}
    return {"exited": status}


def difference(vector, loader, output, with_pages):
    """What is not as the kernel did it; None where all is."""
    kernel = vector["ending"]
    is_refused = "refused" in kernel and loader == {"refused": None}
    if not is_refused and loader != kernel:
        return f"kernel {json.dumps(kernel)}, loader {json.dumps(loader)}"
    expected = vector["pages_crc32"]
    if with_pages and expected is not None and pages_crc32(output) != expected:
        return "other contents of memory"
    return None


def main():
    options = arguments()
    root = pathlib.Path(__file__).resolve().parent
    options.command[0] = program(options.command[0])
    groups = collections.defaultdict(lambda: [0, 0])
    for line in (root / "manifest.jsonl").read_text().splitlines():
        vector = json.loads(line)
        if options.only not in vector["name"] or (vector["needs_root"] and os.geteuid() != 0):
            continue
        loader, output, complaint = run(options, root / vector["directory"])
        reason = difference(vector, loader, output, options.pages)
        count = groups[vector["name"].split("::")[0]]
        count[0] += 1
        if reason:
            count[1] += 1
            print(f"{vector['directory']} {vector['name']}: {reason}\n     {vector['about']}")
            if options.verbose and complaint:
                print("     " + complaint.decode(errors="replace").strip())
    for name, (all_of_it, different) in groups.items():
        print(f"{name}: {all_of_it - different} of {all_of_it} as the kernel")
    different = sum(count[1] for count in groups.values())
    print(f"{sum(count[0] for count in groups.values())} vectors, {different} different")
    return 1 if different else 0


def program(name):
    """A relative path would be looked for in each folder."""
    return os.path.abspath(name) if "/" in name else name


if __name__ == "__main__":
    sys.exit(main())
