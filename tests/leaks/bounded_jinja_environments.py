"""jinja2: an environment for each request is in no cycle, and freed with it.
"""
# python: 3.11
# bounded: jinja2==3.1.4
import jinja2

REQUESTS = 600


def request():
    environment = jinja2.Environment()
    return environment.from_string("{{ a + 1 }}").render(a=1)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
