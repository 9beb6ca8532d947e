"""The stream of records as the recorder reads it: page by page behind a position, without missing a gap.

Each page is what its records change in the audit table. The page behind a full one is read while that one is written.

The last entry that is in the audit table stays in the stream, as an anchor: where it is missing, entries behind it may
be missing as well. `XINFO STREAM` alone does not tell that, because its max-deleted-entry-id does not move when XADD or
XTRIM cut a stream.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from rota.model.audit.folding import Row, fold
from rota.wire.events import Record, read_records

#: The position before all entries.
START = "0-0"
#: A page is to hold about this: events, and bytes of payloads and results.
EVENTS, SIZE = 4000, 4_000_000
#: The number of entries of the first page, and the least and the most of any.
_FIRST, _LEAST, _MOST = 200, 10, 2000

Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Page:
    """The entries of a stream behind a position.

    :param last: the position to read on from: the last entry of the page, or the former position.
    :param rows: what its entries change in the table, a row a job.
    :param is_anchored: whether the entry at the former position is still there, so that none behind it is gone.
    :param lost: the number of entries that are gone between the former position and this page; None if unknown.
    :param is_full: whether more entries are likely to lie behind it.
    """

    last: str
    rows: list[Row] = field(default_factory=list)
    is_anchored: bool = False
    lost: int | None = 0
    is_full: bool = False


class RecordStream:
    """The stream at `key`, and what is known of the place up to which it has been read."""

    def __init__(self, redis: Any, key: str) -> None:
        self._redis = redis
        self._key = key
        self._count = _FIRST
        # How many entries had ever been added when the last was the one at this position.
        self._added: dict[str, int] = {}

    async def read(self, after: str) -> Page:
        """Return the page behind the position `after`. Raises what redis-py raises."""
        entries = await self._entries(after)
        if entries and entries[0][0].decode() == after:
            return self._page(after, entries[1:], is_anchored=True)
        if after == START:
            return self._page(after, entries)
        return await self._behind_a_gap(after, entries)

    async def trim(self, position: str) -> bool:
        """Remove what lies before `position`, which is in the table; return True. Raises what redis-py raises."""
        await self._redis.xtrim(self._key, minid=position, approximate=False)
        if position not in self._added:
            info = await self._info()
            if info is not None and info["first"] == position and info["added"] is not None:
                self._added = {position: info["added"] - info["length"] + 1}
        return True

    async def _entries(self, start: str) -> Sequence[Entry]:
        found: Sequence[Entry] = await self._redis.xrange(self._key, min=start, count=self._count + 1)
        return found

    def _page(
        self, after: str, entries: Sequence[Entry], *, is_anchored: bool = False, lost: int | None = 0
    ) -> Page:
        records: list[Record] = []
        size = 0
        for entry, fields in entries:
            records += read_records(entry, fields)
            size += sum(map(len, fields.values()))
        is_full = len(entries) >= self._count
        if is_full:
            share = min(EVENTS / max(1, len(records)), SIZE / max(1, size))
            self._count = round(min(max(self._count * share, _LEAST), _MOST))
        last = entries[-1][0].decode() if entries else after
        added = self._added.get(after)
        if lost == 0 and added is not None:
            self._added = {after: added, last: added + len(entries)}
        return Page(last, fold(records), is_anchored, lost, is_full)

    async def _behind_a_gap(self, after: str, entries: Sequence[Entry]) -> Page:
        """Return the page behind a position whose entry is gone: others that were not read may be gone as well."""
        info = await self._info()
        if info is None:
            return Page(after)
        if order_of(info["last"]) < order_of(after):
            # Redis was emptied, or is another one, and its clock is behind: the ids begin again.
            entries = await self._entries(START)
            return self._page(START, entries, lost=None)
        if entries:
            return self._page(after, entries, lost=self._lost(after, info))
        return Page(info["last"], lost=self._lost(after, info) if info["last"] != after else 0)

    def _lost(self, after: str, info: dict[str, Any]) -> int | None:
        if after not in self._added or info["added"] is None:
            return None
        lost: int = info["added"] - info["length"] - self._added[after]
        return lost if lost >= 0 else None

    async def _info(self) -> dict[str, Any] | None:
        """Return length, first and last id, and how many entries were ever added; None where no stream is."""
        try:
            raw = await self._redis.xinfo_stream(self._key)
        except ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        first = raw.get("first-entry")
        return {
            "length": raw["length"],
            "first": first[0].decode() if first else None,
            "last": raw["last-generated-id"].decode(),
            "added": raw.get("entries-added"),
        }


class PagesAhead:
    """The pages of a stream one after the other, of which the next one is read while one is written."""

    def __init__(self, stream: RecordStream) -> None:
        self._stream = stream
        self._held: tuple[str, Page] | None = None
        self._next: tuple[str, asyncio.Task[Page]] | None = None

    async def page(self, after: str) -> Page:
        """Return the page behind the position `after`: the same as before while it has not been written.

        Raises what redis-py raises.
        """
        if self._held is not None and self._held[0] == after:
            return self._held[1]
        self._held = None
        page = await self._read(after)
        if page.is_full:
            self._held = (after, page)
            self._next = (page.last, asyncio.create_task(self._stream.read(page.last)))
        return page

    async def _read(self, after: str) -> Page:
        if self._next is not None and self._next[0] == after:
            _, task = self._next
            self._next = None
            return await task
        await self.forget()
        return await self._stream.read(after)

    async def forget(self) -> None:
        """Drop the pages that were read and not written, and end the read that is under way."""
        self._held, waiting, self._next = None, self._next, None
        if waiting is not None:
            waiting[1].cancel()
            await asyncio.gather(waiting[1], return_exceptions=True)


def order_of(position: str) -> tuple[int, int]:
    """Return a position as what sorts as the stream does."""
    ms, _, sequence = position.partition("-")
    return int(ms), int(sequence or 0)
