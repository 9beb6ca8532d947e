"""The keeper of logs beside the program's own handlers."""

import contextlib
import io
import logging
from collections.abc import Iterator

import pytest

from rota.attempts.log.keeper import keeping_logs


@contextlib.contextmanager
def without_handlers() -> Iterator[io.StringIO]:
    """Yield what Python's handler of last resort writes, in a program whose root logger has no handler."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setLevel(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "lastResort", handler)
        patch.setattr(logging.root, "handlers", [])
        with keeping_logs():
            yield written


def test_warnings_of_a_program_without_handlers_are_shown_as_without_the_keeper() -> None:
    with without_handlers() as written:
        logging.getLogger("rota.jobs").warning("job.dead")
        logging.getLogger("jobs").info("mail.sent")
    assert written.getvalue() == "job.dead\n"


def test_what_another_handler_hears_of_is_not_shown_twice() -> None:
    own = io.StringIO()
    handler = logging.StreamHandler(own)
    logging.getLogger("mails").addHandler(handler)
    try:
        with without_handlers() as written:
            logging.getLogger("mails.out").warning("mail.lost")
    finally:
        logging.getLogger("mails").removeHandler(handler)
    assert (own.getvalue(), written.getvalue()) == ("mail.lost\n", "")
