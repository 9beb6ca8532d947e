"""The last lines of a process that is about to end: they are written if they can be, and never keep it from ending."""

import logging
import threading
from collections.abc import Callable

#: Lines that are not written by then are given up, in seconds.
WITHIN = 6.0


def last_words(say: Callable[[], object] | None = None, *, within: float = WITHIN) -> None:
    """Call `say`, which logs, and flush all logs; return after `within` seconds at the latest.

    A handler of the user's may wait for the reader of its stream, and it keeps its lock meanwhile.
    """

    def speak() -> None:
        if say is not None:
            say()
        for handler in list(logging.root.handlers):
            handler.flush()
        logging.shutdown()

    speaker = threading.Thread(target=speak, name="rota-last-words", daemon=True)
    try:
        speaker.start()
    except RuntimeError:
        return  # the interpreter is already ending
    speaker.join(within)
