"""ssl: a context with certificates for each request, as a client makes that is made for each request.
"""
# python: 3.11
# bounded: certifi==2024.8.30
import ssl

import certifi

REQUESTS = 150


def request():
    ssl.create_default_context(cafile=certifi.where())


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
