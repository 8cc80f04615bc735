"""What recorders fall over. faults.py CASE [ARGUMENT]; each case is a function below, and prints the same each time."""

import atexit
import collections
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading


def work(rounds=20):
    """Small and large objects, generators, and code that is made and dropped."""
    for number in range(rounds):
        made = [{"number": number, "items": [number] * 5, "bytes": bytes(number)} for number in range(100)]
        list(value for value in (bytearray(66000), bytearray(10)))
        exec(compile("def f():\n  return [bytes(3000)]\nf()", "<made %d>" % (number % 5), "exec"), {})
    return len(made)


def forever():
    while True:
        work(1)


class Late:
    """Allocates when it is destroyed."""

    def __del__(self):
        self.made = [bytes(70000), [{} for _ in range(100)]]


def daemon_threads():
    """They are stopped wherever they are when the interpreter ends."""
    for _ in range(3):
        threading.Thread(target=forever, daemon=True).start()
    work(4)
    globals()["late"] = Late()


def os_exit():
    threading.Thread(target=forever, daemon=True).start()
    work()
    sys.stdout.write("leaves\n")
    sys.stdout.flush()
    os._exit(7)


def uncaught():
    kept = [bytes(1000) for _ in range(100)]
    raise ValueError(len(kept))


def finalizers():
    """Destructors and exit functions, while the interpreter takes itself apart."""
    globals()["late"] = [Late() for _ in range(50)]
    cycle = Late()
    cycle.itself = cycle
    local = threading.local()
    local.late = Late()
    sys.modules["late"] = Late()
    atexit.register(lambda: print("exit function", work(2)))
    globals()["kept"] = cycle, local


def fork_in_thread():
    def fork():
        pid = os.fork()
        if pid == 0:
            work()
            again = os.fork()
            if again == 0:
                work()
                os._exit(0)
            os.waitpid(again, 0)
            os._exit(work() != 100)
        statuses.append(os.waitpid(pid, 0)[1])

    statuses = []
    busy = [threading.Thread(target=work) for _ in range(2)]
    forking = [threading.Thread(target=fork) for _ in range(3)]
    for thread in busy + forking:
        thread.start()
    for thread in busy + forking:
        thread.join()
    print(statuses)


def fork_and_exit():
    """The child ends as an interpreter does."""
    sys.stdout.flush()
    pid = os.fork()
    work()
    if pid:
        print(os.waitpid(pid, 0)[1])


def python_signals():
    """Handlers in Python, between any two instructions."""
    handled = collections.Counter()

    def handler(number, frame):
        handled[number] += 1
        work(1)
        # Not at fixed intervals: on a slow machine handlers would interrupt handlers without end.
        if handled[number] < 100:
            signal.setitimer(signal.ITIMER_REAL, 0.0005)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    while handled[signal.SIGALRM] < 100:
        work(1)


def known_signals(library):
    """Handlers in C, at a known place: each sixteenth leaks."""
    ctypes.CDLL(library).handle()

    def raised():
        for _ in range(320):
            signal.raise_signal(signal.SIGUSR1)

    raised()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def storm(library):
    """Handlers in C, at any instant of the interpreter and of the recorder. Prints what they leaked."""
    library = ctypes.CDLL(library)
    runs = ctypes.c_long.in_dll(library, "runs")
    library.begin_storm()
    while runs.value < 3000:
        work(1)
    library.end_storm()
    print(runs.value, ctypes.c_long.in_dll(library, "leaked").value)


def recursion():
    """50,000 calls; through C fewer, and one too many."""

    def plain(depth):
        return [depth, bytes(100)] if depth == 0 else plain(depth - 1)

    def mapped(depth):
        return bytes(100) if depth == 0 else list(map(mapped, [depth - 1]))

    def endless():
        endless()

    def deep():
        print(len(plain(50000)))
        # From 3.12 on C has a limit of its own.
        print(len(mapped(150)))
        sys.setrecursionlimit(1000)
        try:
            endless()
        except RecursionError:
            print("too deep", work(1))

    sys.setrecursionlimit(51000)
    threading.stack_size(1 << 29)
    thread = threading.Thread(target=deep)
    thread.start()
    thread.join()


def interpreters():
    """Sub-interpreters; 3.12 and later can give each its own lock."""
    source = (
        "kept = [bytearray(70000) for _ in range(50)]\n"
        "def f():\n  return [[1] * 20000, {}, [{} for _ in range(200)]]\n"
        "sorted([2, 1], key=lambda _: len(f()))\n"
        "import json; json.loads('[1, {}]')\n"
    )
    if sys.version_info >= (3, 13):
        import _interpreters

        run = _interpreters.exec
    else:
        import _xxsubinterpreters as _interpreters

        run = _interpreters.run_string

    def within(count):
        for _ in range(count):
            made = _interpreters.create()
            run(made, source)
            work(2)
            run(made, source)
            _interpreters.destroy(made)

    within(2)
    threads = [threading.Thread(target=within, args=(1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def greenlets():
    """Stacks that are switched while C is on them."""
    import greenlet

    def inner(number):
        for _ in range(5):
            work(1)
            greenlet.getcurrent().parent.switch([bytes(number), {}])
        return number

    def outer(number):
        made = greenlet.greenlet(inner)
        return sorted([number, 0], key=lambda key: len(made.switch(key) if not made.dead else []) + key)

    nested = [greenlet.greenlet(outer) for _ in range(20)]
    print([one.switch(number) for number, one in enumerate(nested)])
    left = [greenlet.greenlet(inner) for _ in range(20)]
    for number, one in enumerate(left):
        one.switch(number)
    del left[:10]
    gc.collect()


def stress():
    """Threads, pools, collections, coroutines, processes, all at once."""
    import asyncio
    import concurrent.futures

    async def coroutine(number):
        await asyncio.sleep(0)
        return len(bytearray(70000 + number))

    async def gather():
        return sum(await asyncio.gather(*[coroutine(number) for number in range(50)]))

    def collect(rounds):
        for _ in range(rounds):
            late = Late()
            late.itself = late
            gc.collect()

    threads = [threading.Thread(target=work, args=(30,)) for _ in range(3)]
    threads.append(threading.Thread(target=collect, args=(20,)))
    for thread in threads:
        thread.start()
    print(asyncio.run(gather()))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print(sum(pool.map(lambda number: len(bytearray(80000 + number)), range(300))))
    for _ in range(20):
        thread = threading.Thread(target=work, args=(1,))
        thread.start()
        thread.join()
    print(subprocess.run([sys.executable, "-c", "kept = [1] * 20000; print(len(kept))"], stdout=subprocess.PIPE).stdout)
    for thread in threads:
        thread.join()


def low_memory():
    """An address space that ends: MemoryError, and on it goes."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (3 << 27, 3 << 27))
    kept = []
    try:
        while True:
            kept.append(bytearray(1 << 24))
    except MemoryError:
        del kept[:]
    print("out of memory", work(2))


def ended_within_c():
    """exit() of C: no interpreter takes itself apart, but exit handlers run."""
    kept = [bytes(1000) for _ in range(100)]
    sys.stdout.write("leaves %d\n" % len(kept))
    sys.stdout.flush()
    ctypes.CDLL(None).exit(5)


def thread_of_c():
    """A thread that Python did not start calls into it, again and again: a thread state for each call."""
    callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: work(1) and None)
    threads = (ctypes.c_ulong * 10)()
    library = ctypes.CDLL(None)
    for number in range(10):
        at = ctypes.byref(threads, number * ctypes.sizeof(ctypes.c_ulong))
        assert library.pthread_create(at, None, callback, None) == 0
    for thread in threads:
        assert library.pthread_join(ctypes.c_ulong(thread), None) == 0


globals()[sys.argv[1]](*sys.argv[2:])
print(sys.argv[1])
