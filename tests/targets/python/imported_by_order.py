"""Imported by order.py: a module's own code."""

import __main__

__main__.here("imported")
