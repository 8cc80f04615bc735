"""Runs a script without unfreed and prints the growth of its resident memory, bytes a request, also after a collection: bare.py SCRIPT

A fifth of the requests comes before the first look, so that caches and the allocator are warm.
"""
import gc
import importlib.util
import sys


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def main(path):
    specification = importlib.util.spec_from_file_location("script", path)
    script = sys.modules["script"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    request, requests = script.request, script.REQUESTS
    for _ in range(requests // 5):
        request()
    gc.collect()
    before = resident()
    for _ in range(requests):
        request()
    gc.collect()
    print((resident() - before) / requests)


main(sys.argv[1])
