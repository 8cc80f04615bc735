"""Keeps a block with each of 400 calls, and works meanwhile."""

kept = []


def work():
    return [[number] for number in range(1_000)]


def request(number):
    kept.append(bytes(20_000))  # the leak
    return number + len(work())


for number in range(1_000, 1_400):
    request(number)
