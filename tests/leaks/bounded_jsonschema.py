"""jsonschema: caches of references that were reported as a leak and have a bound.
"""
# python: 3.11
# bounded: jsonschema==4.23.0
import jsonschema

REQUESTS = 1_500
SCHEMA = {"properties": {"name": {"type": "string"}, "lines": {"items": {"$ref": "#/$defs/line"}}}, "$defs": {"line": {"type": "object"}}}


def request():
    jsonschema.validate({"name": "x", "lines": [{}, {}]}, SCHEMA)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
