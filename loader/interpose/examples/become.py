"""Becomes another program:  python3 become.py /bin/ls -l

SUPPLANT_LIBRARY may name the library's file, if it is not in a library directory.
"""

import ctypes
import os
import sys

library = ctypes.CDLL(os.environ.get("SUPPLANT_LIBRARY", "libsupplant.so.0"), use_errno=True)
strings = ctypes.POINTER(ctypes.c_char_p)
library.supplant_execve.argtypes = [ctypes.c_char_p, strings, strings]


def vector(items):
    """A null-terminated array of C strings."""
    return (ctypes.c_char_p * (len(items) + 1))(*map(os.fsencode, items), None)


def execve(path, argv, environment):
    """os.execve, without execve(2)."""
    entries = [f"{name}={value}" for name, value in environment.items()]
    library.supplant_execve(os.fsencode(path), vector(argv), vector(entries))
    errno = ctypes.get_errno()
    raise OSError(errno, os.strerror(errno), path)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: become.py PROGRAM [ARG...]")
    print("process", os.getpid(), "is about to become", sys.argv[1], flush=True)
    execve(sys.argv[1], sys.argv[1:], os.environ)
