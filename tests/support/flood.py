"""Writes a log of a given size without pauses: `flood.py LINES`. Each line has 92 bytes."""

import os
import sys

block = b"".join(b"%09d %s\n" % (n, b"x" * 81) for n in range(1000))
for _ in range(int(sys.argv[1]) // 1000):
    view = memoryview(block)
    while view:
        view = view[os.write(1, view) :]
