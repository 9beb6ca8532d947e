"""What every program of `rota` does around its work: it finds the jobs package, and says why it ends.

An error is one sentence on stderr, with the exit status that `rota.cli.exits` has for it.
"""

import contextlib
import gc
import logging
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from rota.cli import exits
from rota.errors import DiscoveryFailed, LifespanFailed, RotaError
from rota.errors.secrets import SECRETS
from rota.errors.traces import written
from rota.telemetry.logs import logs
from rota.telemetry.logs.escaping import indented
from rota.telemetry.logs.records import MOST, MOST_OF_BLOCK, write

logger = logging.getLogger("rota")

#: Exit status after Ctrl-C, where nothing else hears of it: that of a program which the signal has killed.
_INTERRUPTED = 130


@contextlib.contextmanager
def program() -> Iterator[None]:
    """Run the block as a program: it may import the jobs package, and its errors are said and end the process."""
    # The jobs package is beside the engine in a checkout, and in the working directory elsewhere.
    for folder in (Path.cwd() / "src", Path.cwd()):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    for stream in (sys.stdout, sys.stderr):
        # A pipe may take ASCII alone; a name or an error that it cannot take is escaped, and no traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except RotaError as error:
        _say_failed(error)
        sys.exit(exits.status_of(error))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _say_failed(error: RotaError) -> None:
    """Say why it ends: one sentence, below the frames of the user's code that caused it; one record in JSON logs."""
    cause = error.__cause__ if isinstance(error, DiscoveryFailed | LifespanFailed) else None
    trace = written(cause, MOST_OF_BLOCK, MOST) if cause else None
    if logs.write_json():
        write(logger, logging.CRITICAL, "process.failed", {"error": str(error)}, trace=trace)
    else:
        frames = SECRETS.hidden(trace or "").replace("Traceback (most recent call last):\n", "")
        sys.stderr.write(f"{indented(frames)}\n" if frames else "")
        sys.stderr.write(f"rota: {SECRETS.hidden(str(error))}\n")


def all_loaded() -> None:
    """Collect garbage from now on, if that was put off, and leave out what has been loaded until now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
