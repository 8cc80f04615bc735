"""Makes, runs and drops functions, so that each code object lies where others lay before.

churn.py NUMBER VARIANT: the allocation of function number i has 1000 + i bytes, and file, function and line say i:

same-file     all are of one file, in which function i begins on line 2i + 1
other-files   function i is of a file of its own, in which it begins on line 1 + i % 23
marshal       of one file, out of marshalled code, as imports make them
held          as same-file; the last 50 live on and are dropped in no order
"""

import marshal
import random
import sys

NUMBER, VARIANT = int(sys.argv[1]), sys.argv[2]
byte = b"x"
held = [None] * 50
randomly = random.Random(1)


def function(i):
    if VARIANT == "other-files":
        file, line = "<churn %d>" % i, 1 + i % 23
    else:
        file, line = "<churn>", 2 * i + 1
    code = compile("\n" * (line - 1) + "def f%d(size):\n  byte * size\n" % i, file, "exec")
    if VARIANT == "marshal":
        code = marshal.loads(marshal.dumps(code))
    names = {"byte": byte}
    exec(code, names)
    return names["f%d" % i]


def main():
    for i in range(NUMBER):
        made = function(i)
        made(1000 + i)
        if VARIANT == "held":
            held[randomly.randrange(len(held))] = made


main()
print(NUMBER, VARIANT)
