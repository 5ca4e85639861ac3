"""Writes a random log that is hard to follow to standard output: `shapes.py SEED`.

Half of the logs repeat themselves. Lines end with a newline, a carriage return, both, or nothing.
"""

import os
import random
import sys
import time

chance = random.Random(int(sys.argv[1]))
ending = chance.choice(["\n", "\n", "\r", "\r\n", ""])
repeats = chance.random() < 0.5
block = "".join(chance.choice("abcdefgh äö") for _ in range(chance.choice([1, 20, 3000, 100_000])))
count = 0


def piece():
    """Returns the text of one write."""
    global count
    if repeats:
        return (block + ending) * chance.randint(1, max(2, 20_000 // len(block)))
    count += 1
    lines = range(chance.randint(1, 300))
    return "".join(f"{count} {n} {'x' * chance.randint(0, 60)}{ending}" for n in lines)


for _ in range(chance.randint(1, 60)):
    text = piece().encode()
    while text:
        text = text[os.write(1, text) :]
    time.sleep(chance.choice([0, 0, 0.01, 0.1]))
