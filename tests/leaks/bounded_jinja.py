"""Jinja: a cache of fifty templates for a hundred of them.
"""
# python: 3.11
# bounded: jinja2==3.1.4
import itertools

import jinja2

REQUESTS = 3_000
NUMBERS = itertools.count()
pages = {f"page{i}": "<ul>{% for item in items %}<li>{{ item|upper }}{% endfor %}</ul>" + str(i) for i in range(100)}
environment = jinja2.Environment(loader=jinja2.DictLoader(pages), cache_size=50, autoescape=True)


def request():
    environment.get_template(f"page{next(NUMBERS) % 100}").render(items=["one", "two"] * 20)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
