# Python code of many shapes, in which a signal comes behind each instruction of the interpreter (single_step.c, the
# argument). Prints whether that was so.
import ctypes
import sys

step = ctypes.CDLL(sys.argv[1])
step.begin.argtypes = [ctypes.c_ulong] * 2
step.end.restype = ctypes.c_ulong


def code_of_the_interpreter():
    at = ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p).value
    for line in open("/proc/self/maps"):
        begin, end = (int(address, 16) for address in line.split()[0].split("-"))
        if begin <= at < end:
            return begin, end


class Ordered:
    def __init__(self, key):
        self.key = key

    def __lt__(self, other):
        return self.key < other.key


def produce(count):
    for n in range(count):
        yield [n] * 3


def work():
    list(produce(1))
    sorted([Ordered(2), Ordered(1)])
    list(map(lambda n: [n], range(1)))


begin, end = code_of_the_interpreter()
work()
step.begin(begin, end)
work()
handled = step.end()
print("signals came" if handled > 1000 else handled)
