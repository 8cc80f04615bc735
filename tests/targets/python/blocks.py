"""Keeps COUNT of: blocks of 300 and 500 bytes (small, OBJ) and of 10001 (large, OBJ), a set (OBJ) and its table (MEM).
Prints the sizes of the set and of the table."""
import gc
import os
import sys

gc.disable()
gc.collect()
count = int(sys.argv[1])
kept = [None] * 2000
for place in range(count):
    kept[4 * place] = bytes(300 - 33)
    kept[4 * place + 1] = bytes(500 - 33)
    kept[4 * place + 2] = bytes(10001 - 33)
    kept[4 * place + 3] = set(range(20))
    # What is freed again.
    bytes(301 - 33), bytes(10002 - 33), list(range(place % 70)), dict.fromkeys(range(place % 70))
print(sys.getsizeof(set()), sys.getsizeof(set(range(20))) - sys.getsizeof(set()))
sys.stdout.flush()
os._exit(0)
