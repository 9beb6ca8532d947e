"""Tells whether a worker process is well, by the age of the file that its lease thread touches, and by what it says.

`python -m rota.process.health [FILE]` imports nothing of the engine and connects to nothing, so that an orchestrator
may run it every few seconds.
"""

import os
import sys
import time

#: A file older than this belongs to a process that hangs or is gone, in seconds.
LIMIT = 30.0


def check(path: str, limit: float = LIMIT) -> str | None:
    """Return what is wrong with the worker that touches `path`, None if nothing is."""
    try:
        age = time.time() - os.stat(path).st_mtime
        if age > limit:
            return f"{path} was touched {age:.0f} s ago; the worker hangs"
        with open(path, encoding="utf-8") as file:
            return file.read() or None
    except OSError as error:
        return f"{path}: {error.strerror}"


def main(args: list[str]) -> int:
    """Check the file named in `args`, or that of HEALTH_FILE, with a limit in seconds if given; return the status."""
    file = args[0] if args else os.environ.get("ROTA_HEALTH_FILE") or os.environ.get("HEALTH_FILE")
    if not file:
        sys.stderr.write("usage: python -m rota.process.health FILE [SECONDS], or with HEALTH_FILE set\n")
        return 2
    wrong = check(file, float(args[1]) if len(args) > 1 else LIMIT)
    if wrong:
        sys.stderr.write(wrong + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
