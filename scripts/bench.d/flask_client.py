"""The load of flask_app.py over one connection: flask_client.py PORT_FILE ROUNDS

A round is a page, a list and an order. Prints the seconds that they took.
"""
import http.client
import json
import os
import sys
import time

LONGEST_START = 120  # seconds


def port(file):
    deadline = time.monotonic() + LONGEST_START
    while not os.path.exists(file):
        if time.monotonic() > deadline:
            sys.exit("the server did not come up")
        time.sleep(0.02)
    with open(file) as text:
        return int(text.read())


def ask(connection, path, body=None):
    connection.request("POST" if body else "GET", path, body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        sys.exit(f"{path}: status {answer.status}")


def main(port_file, rounds):
    connection = http.client.HTTPConnection("127.0.0.1", port(port_file), timeout=LONGEST_START)
    began = time.monotonic()
    for number in range(rounds):
        ask(connection, f"/page/{number}")
        ask(connection, f"/items?q={number % 10}")
        lines = [{"item": f"item {line}", "price": 2.5, "count": line} for line in range(10)]
        ask(connection, "/orders", json.dumps({"number": number, "lines": lines}))
    print(time.monotonic() - began)
    connection.close()


main(sys.argv[1], int(sys.argv[2]))
