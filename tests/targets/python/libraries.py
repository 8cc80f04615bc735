"""Blocks that C libraries allocate beneath a line of Python, ten times each: libraries.py WAYS..."""

import sys

TIMES = 10

kept = []


def ctypes_malloc():
    import ctypes

    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    for _ in range(TIMES):
        malloc(20_011)  # ctypes


def ctypes_callback():
    import ctypes

    libc = ctypes.CDLL(None)
    compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    @compare_type
    def compare(_left, _right):
        block = bytes(20_012)  # compare
        kept.append(block)
        return 0

    two = (ctypes.c_int * 2)()
    for _ in range(TIMES):
        libc.qsort(two, 2, ctypes.sizeof(ctypes.c_int), compare)  # qsort


def cffi_malloc():
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("void *malloc(size_t);")
    libc = ffi.dlopen(None)
    for _ in range(TIMES):
        libc.malloc(20_013)  # cffi


def sqlite3_connections():
    import sqlite3

    for _ in range(TIMES):
        connection = sqlite3.connect(":memory:")  # connection
        kept.append(connection)


def sqlite3_statements():
    import sqlite3

    connection = sqlite3.connect(":memory:", cached_statements=TIMES)
    kept.append(connection)
    for i in range(TIMES):
        cursor = connection.execute("select %d" % i)  # statement
        kept.append(cursor)


def ssl_contexts():
    import ssl

    for _ in range(TIMES):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # context
        kept.append(context)


def numpy_arrays():
    import numpy

    for _ in range(TIMES):
        array = numpy.ones(2_501)  # array
        kept.append(array)


for way in sys.argv[1:]:
    globals()[way]()
