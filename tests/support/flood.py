"""Writes a log of a given size without pauses: `flood.py LINES [bars]`. Each line has 92 bytes.

With `bars`, nine in ten lines end with a carriage return, as a progress bar does.
"""

import os
import sys

returns = 9 if sys.argv[2:] == ["bars"] else 0
block = b"".join(
    b"%09d %s%s" % (n, b"x" * 81, b"\r" if n % 10 < returns else b"\n") for n in range(1000)
)
for _ in range(int(sys.argv[1]) // 1000):
    view = memoryview(block)
    while view:
        view = view[os.write(1, view) :]
