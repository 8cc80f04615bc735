"""Calls the C extension whose path is its argument: requests with and without a leak in C."""

import importlib.machinery
import importlib.util
import sys

loader = importlib.machinery.ExtensionFileLoader("leaky", sys.argv[1])
leaky = importlib.util.module_from_spec(importlib.util.spec_from_file_location("leaky", loader=loader))


def request(number):
    str(number)  # nothing of the module: requests are told apart by what is allocated
    leaky.correct()  # correct
    leaky.without_decref()  # a missing decref
    leaky.without_free()  # a missing free


for number in range(20_000):
    request(number)
