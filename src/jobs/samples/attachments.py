"""Attachments by reference: a job carries where a file is, and the file is fetched when its mail is sent.

A reference is the key of a file in MEDIA_DIR, or a URL, which cannot lead into the network that mail is sent from. So
payloads stay small, and what is corrected in a file before its mail is sent is sent.
"""

import asyncio
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import StringConstraints

from jobs.samples.mailer import File
from jobs.samples.media import Key, read
from rota import FetchFailed, fetch

Url = Annotated[str, StringConstraints(pattern=r"^https?://[\x21-\x7e]+$", max_length=2048)]
Reference = Url | Key

#: The bytes of all attachments of one mail; of those by URL `rota.fetch` takes 1 MiB each.
MOST = 10 * 1024 * 1024
_AWAY = 500


class AttachmentRefused(Exception):
    """Raised for an attachment that no other attempt will get: it is not there, or too large."""


async def collected(references: Sequence[Reference]) -> tuple[File, ...]:
    """Return the files of references. Raises AttachmentRefused, MediaMissing, FetchRefused; FetchFailed for later."""
    files: list[File] = []
    left = MOST
    for reference in references:
        is_url = reference.startswith(("http://", "https://"))
        content = await (_fetched(reference) if is_url else asyncio.to_thread(read, reference, left))
        left -= len(content)
        if left < 0:
            raise AttachmentRefused(f"the attachments have more than {MOST:,} bytes together")
        files.append(File(_name_of(reference), content))
    return tuple(files)


async def _fetched(url: str) -> bytes:
    answer = await fetch(url)
    if answer.is_success:
        return answer.body
    sentence = f"an attachment's server answers {answer.status}"
    if answer.status >= _AWAY:
        raise FetchFailed(sentence)
    raise AttachmentRefused(sentence)


def _name_of(reference: str) -> str:
    name = PurePosixPath(unquote(urlsplit(reference).path)).name
    return "".join(char if char.isalnum() or char in "-_. " else "_" for char in name)[:100] or "attachment"
