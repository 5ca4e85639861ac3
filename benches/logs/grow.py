"""Writes a large log at once and lets it grow: `grow.py MEGABYTES GO SECONDS`.

Lines of 100 bytes, all different. Ten lines a second until the file GO exists, and for SECONDS after
that; then 1,000 lines a second for as long. Each of these says its rate and when it was written.
"""

import os
import random
import sys
import time

megabytes, go, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])


def write(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def grow(rate, mark, goes_on):
    begin = time.time()
    count = 0
    while goes_on(time.time() - begin):
        line = b"@%d %.6f " % (mark, time.time())
        write(line + b"." * (99 - len(line)) + b"\n")
        count += 1
        # At no fixed distance, which whoever looks at fixed times would meet early or late for ever.
        time.sleep(max(0, begin + (count + random.random()) / rate - time.time()))


block = b"".join(b"#####-%05d %s\n" % (n, b"x" * 87) for n in range(10_000))
for n in range(megabytes):
    write(block.replace(b"#####", b"%05d" % n))
grow(10, 0, lambda _: not os.path.exists(go))
grow(10, 10, lambda passed: passed < seconds)
grow(1000, 1000, lambda passed: passed < seconds)
write(b"@end\n")
