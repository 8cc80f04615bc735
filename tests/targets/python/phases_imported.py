"""What `phases.py` imports."""

import sys

kept = bytes(30_003 - sys.getsizeof(b""))
