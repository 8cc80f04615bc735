"""Makes known numbers of objects, most of them on a line of their own, and holds them.

counts.py: holds them until it ends. counts.py tracemalloc, with -X tracemalloc: also prints what tracemalloc says of
the lines of counted.py, as JSON: line to blocks and bytes.
"""

import gc
import json
import sys
import threading
import tracemalloc

import counted


def run_in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


# Nothing may be collected but where counted.py says so.
gc.disable()
kept = counted.make(run_in_thread)
if "tracemalloc" in sys.argv:
    statistics = tracemalloc.take_snapshot().statistics("lineno")
    own = [line for line in statistics if line.traceback[0].filename == counted.__file__]
    print(json.dumps({line.traceback[0].lineno: [line.count, line.size] for line in own}))
else:
    print(len(kept))
