"""Prints what a memray recording holds as unfreed at its end, by line of Python, largest first: memray_unfreed.py FILE"""
import sys
from collections import Counter

from memray import FileReader

blocks, size = Counter(), Counter()
for record in FileReader(sys.argv[1]).get_leaked_allocation_records(merge_threads=True):
    stack = record.stack_trace(max_stacks=1)
    line = "%s %s:%d" % stack[0] if stack else "no line of Python"
    blocks[line] += record.n_allocations
    size[line] += record.size
for line, unfreed in size.most_common(100):
    print(unfreed, blocks[line], line)
