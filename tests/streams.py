"""The stream of events as a test reads it: all at once, from its entries."""

from collections.abc import Iterable, Mapping

from rota.wire.events import RawEvent, read_events


def events_in(entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[RawEvent]:
    """Return the events of the entries that XRANGE answers, in order."""
    return [event for entry, fields in entries for event in read_events(entry, fields)]
