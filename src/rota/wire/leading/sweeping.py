"""What can outlive the job, the flow or the process that it belonged to, and how it is struck, or only counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rota.names import NAME
from rota.wire.keys import JOB, QUEUE, RESERVED, RETRY, events_key, flow_key
from rota.wire.scripts import SWEEP, SWEEP_FLOWS, SWEEP_KEYS

CollectionKind = Literal[
    "letters", "causes", "of_cause", "workers", "fields", "terms", "notes", "claims", "members", "slots"
]
KeyKind = Literal["payloads", "counts", "unique", "aliases"]

#: The collections of a queue that are swept, by what follows its name in their keys.
SWEPT: dict[str, CollectionKind] = {
    "active": "claims",
    "runs": "notes",
    "terms": "terms",
    **dict.fromkeys(("attempts", "snoozes", "checkpoint", "progress"), "fields"),
    **dict.fromkeys(("parked", "suspects", *(f"p{level}" for level in range(1, 10))), "members"),
    "dead": "letters",
    "causes": "causes",
    "workers": "workers",
}
#: How the names of further ones begin: places in the line of a limit, letters of a cause.
_BEGINNINGS: dict[str, CollectionKind] = {"line:": "members", "cause:": "of_cause"}
#: How many entries, keys and keys of flows one call of a script looks at.
PORTION, KEYS, FLOWS = 100, 200, 20


@dataclass(frozen=True, slots=True)
class Collection:
    """One key that has entries for several jobs or processes: of a queue, or of a concurrency limit.

    :param queue: the key of the queue; for a limit's, the same as `key`.
    """

    queue: str
    key: str
    kind: CollectionKind

    async def sweep(self, redis: Any, start: str, *, strike: bool = True) -> tuple[str, int]:
        """Strike what belongs to nothing, or count it, of the portion that begins at `start`; "0" begins the first.

        Return where the next one begins, "0" after the last, and how many entries belonged to nothing.
        """
        args = (self.kind, start, PORTION, 1 if strike else 0)
        following, gone = await SWEEP(redis, (self.queue, self.key), args)
        return following.decode(), int(gone)


def collections_of(queue: str) -> list[Collection]:
    """Return what is swept of the queue with this key, whether it is there or not, but for the lines of limits."""
    return [Collection(queue, f"{queue}:{part}", kind) for part, kind in SWEPT.items()]


class Found:
    """Some keys of a database, sorted by how each is swept. `queues` are the keys of the queues that they belong to."""

    def __init__(self, keys: Sequence[bytes], namespace: str) -> None:
        self.queues: set[str] = set()
        self.collections: list[Collection] = []
        self.loose: dict[KeyKind, list[bytes]] = {}
        self.flows: list[bytes] = []
        self._namespace = namespace
        for key in keys:
            self._sort_in(key)

    def _sort_in(self, raw: bytes) -> None:
        key = raw.decode("utf-8", "replace")
        first, _, rest = key.partition(":")
        if key.startswith(JOB):
            self._loose("payloads", raw)
        elif key.startswith(RETRY):
            self._loose("counts", raw)
        elif first == self._namespace:
            self._of_namespace(raw, key, rest.partition(":")[0])
        elif key.startswith(QUEUE):
            self._of_queue(raw, key)

    def _of_queue(self, raw: bytes, key: str) -> None:
        name, _, part = key.removeprefix(QUEUE).partition(":")
        # A bare worker on arq's own queue has keys such as `arq:queue:active`, which look like a queue's.
        if not NAME.fullmatch(name) or name in RESERVED:
            return
        queue = f"{QUEUE}{name}"
        self.queues.add(queue)
        kind = next((kind for begin, kind in _BEGINNINGS.items() if part.startswith(begin)), SWEPT.get(part))
        if kind is not None and raw.isascii():
            self.collections.append(Collection(queue, key, kind))

    def _of_namespace(self, raw: bytes, key: str, kind: str) -> None:
        match kind:
            case "slots" if raw.isascii():
                self.collections.append(Collection(key, key, "slots"))
            case "unique":
                self._loose("unique", raw)
            case "flow-id":
                self._loose("aliases", raw)
            case "flow":
                self.flows.append(raw)

    def _loose(self, kind: KeyKind, raw: bytes) -> None:
        self.loose.setdefault(kind, []).append(raw)


async def sweep_keys(
    redis: Any, kind: KeyKind, keys: Sequence[bytes], queues: Sequence[str], namespace: str, *, strike: bool
) -> list[bytes]:
    """Find those of `KEYS` keys at most whose job or flow is gone, and delete them with `strike`.

    `queues` are the keys of all queues that there are.
    """
    args = (kind, 1 if strike else 0, flow_key(namespace, ""), *keys)
    gone: list[bytes] = await SWEEP_KEYS(redis, queues, args)
    return gone


async def sweep_flows(
    redis: Any, keys: Sequence[bytes], namespace: str, events_maxlen: int, error: bytes, *, strike: bool
) -> tuple[int, int]:
    """End flows whose jobs are gone, with `error`, and delete what is left of flows that are gone; or count them.

    `keys` are `FLOWS` at most. Return how many flows lacked jobs, and how many keys belonged to no flow.
    """
    args = (events_maxlen, 1 if strike else 0, flow_key(namespace, ""), error)
    ended, deleted = await SWEEP_FLOWS(redis, (events_key(namespace), *keys), args)  # type: ignore[arg-type]
    return ended, deleted
