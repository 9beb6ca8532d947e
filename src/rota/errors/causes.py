"""Fingerprints of errors: failures of one cause have the same, though their messages name other numbers and ids.

A fingerprint is made of the type of the error, its message without what differs from job to job, and the innermost
frame of the user's code. The line is not part of it, so that it outlives an edit of the file.
"""

import re
from hashlib import blake2b

from rota.errors.client import JobError
from rota.errors.traces import frame_of, message_of

#: The characters of a message that count.
_LOOKED_AT = 500
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
#: A word with a digit in it: a number, an id, a hash, a time. A long word without one is not tried from each letter.
_NUMBERED = re.compile(r"(?<![\w-])[\w-]*\d[\w-]*")


def cause_of(error: BaseException, kind: str) -> str:
    """Return the fingerprint of `error`, whose type is called `kind`: 12 hexadecimal digits.

    An error that was recorded before has the one that it was given then.
    """
    if isinstance(error, JobError):
        if error.cause:
            return error.cause
        message, place = error.message, ""
    else:
        message, place = _message(error), frame_of(error)
    text = f"{kind}\n{alike(message)}\n{place}"
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def alike(message: str) -> str:
    """Return what the messages of one cause have in common: the first line, without numbers, ids and what is quoted."""
    first = message[:_LOOKED_AT].strip().partition("\n")[0]
    return " ".join(_NUMBERED.sub("#", _QUOTED.sub("'…'", first)).split())


def _message(error: BaseException) -> str:
    try:
        return message_of(error)
    except BaseException:  # the user's own code, which may raise anything
        return ""
