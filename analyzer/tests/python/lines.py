"""Prints the line tables of code objects and what the interpreter itself says about them.

    lines.py            the standard library of this interpreter, without its tests
    lines.py --sample   the source below

First PY_VERSION_HEX, then one line for each code object: first line, bytes of code, line table in hexadecimal, and
`begin:end:line` for each stretch of bytecode, the line empty where there is none.
"""
import dis
import marshal
import os
import sys
import types

SAMPLE = """\
import sys
def calls(first, second=sum(
        (1,
         2))):
    try:
        with open(first,
                  second) as file:
            for line in file:
                if line: yield from (
                    part
                    for part in line
                    if part != (
                        lambda: first)())
                else: continue
    except (OSError,
            ValueError) as error:
        raise error
    finally:
        print(second,
              first)
""" + "\n" * 300 + """
class Far:
    async def wait(self, *names):
        assert names, self
        return {name: await self.wait(
            *names
        ) for name in names}
""" + "def wide():\n    return (" + "x.y(1) + \\\n" * 30 + "\n" * 200 + "    x)\n"

SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"}


def library():
    suffix = sys.implementation.cache_tag + ".pyc"
    for folder, folders, files in os.walk(os.path.dirname(os.__file__)):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(files):
            if name.endswith(suffix):
                with open(os.path.join(folder, name), "rb") as file:
                    yield marshal.loads(file.read()[16:])


def stretches(code):
    if sys.version_info >= (3, 10):
        yield from code.co_lines()
        return
    starts = list(dis.findlinestarts(code))
    for (begin, line), (end, _) in zip(starts, starts[1:] + [(len(code.co_code), None)]):
        yield begin, end, line


def dump(code):
    table = code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab
    fields = [code.co_firstlineno, len(code.co_code), table.hex() or "-"]
    fields += ["%d:%d:%s" % (begin, end, "" if line is None else line) for begin, end, line in stretches(code)]
    print(*fields)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            dump(constant)


print(sys.hexversion)
for module in [compile(SAMPLE, "sample.py", "exec")] if "--sample" in sys.argv else library():
    dump(module)
