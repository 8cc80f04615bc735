"""Attributes that are asked for by names made anew: the interpreter's table of them holds the names, and fills slowly.
"""
# python: 3.11
# bounded: -
import ast

REQUESTS = 1_000


class Names(ast.NodeVisitor):
    def visit_Name(self, node):
        return node.id


class Box:
    pass


def request():
    Names().visit(ast.parse("a + b * f(c, d) if e else [x for x in y]"))
    box = Box()
    for name in ("alpha", "beta", "gamma"):
        setattr(box, "field_" + name, name)
        hasattr(box, "other_" + name)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
