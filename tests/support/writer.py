"""Writes a random log to standard output: `writer.py SEED`."""

import os
import random
import sys
import time

chance = random.Random(int(sys.argv[1]))
if chance.random() < 0.1:
    sys.exit(3)
for _ in range(chance.randint(1, 400)):
    text = bytes(chance.choice(b"abcdefghij \xc3") for _ in range(chance.choice([0, 5, 80, 3000])))
    text = text.replace(b"\xc3", "ä".encode())
    if chance.random() < 0.7:
        text += b"\n"
    while text:
        text = text[os.write(1, text) :]
    if chance.random() < 0.05:
        time.sleep(chance.random() * 0.2)
sys.exit(chance.choice([0, 0, 0, 1]))
