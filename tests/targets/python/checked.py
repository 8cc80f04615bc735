"""Keeps a block of 4,000 bytes in each of N calls of `handle`, if the second argument is not 0; N is the first."""

import sys

kept = []
byte = b"x"


def handle(keeps):
    if keeps:
        kept.append(byte * 4000)
    return len(kept)


for number in range(int(sys.argv[1])):
    handle(int(sys.argv[2]))
