"""Tests that call `make` themselves, as a user does, though `make` may have called them."""

import os

#: What `make` hands down: how it was called, with which variables, and where this checkout's code is.
HANDED_DOWN = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "ARGS", "PROCESSES", "PYTHONPATH")


def as_from_a_terminal() -> None:
    """Take out of this process's environment what `make` has put there, so that no program sees it."""
    for name in HANDED_DOWN:
        os.environ.pop(name, None)
