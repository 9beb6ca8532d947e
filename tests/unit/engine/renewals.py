"""The part of a queue's scripts that leases need, and the connection that they are renewed on."""

import threading
from collections.abc import Callable, Mapping

from rota.wire.claims import Claim


def claim(job_id: str, token: str = "t") -> Claim:
    return Claim(id=job_id, token=token, payload=b"{}", attempt=1, due_ms=0, started_ms=0)


class Renewals:
    """Scripts that remember which leases they were asked to renew, and answer that those in `lost` are lost."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.threads: set[str] = set()
        self.lost: list[str] = []
        self.fault: Exception | None = None
        self.meanwhile: Callable[[], object] = bool

    def renew(self, redis: object, held: Mapping[str, str]) -> list[str]:
        self.asked.append(dict(held))
        self.threads.add(threading.current_thread().name)
        self.meanwhile()
        if self.fault is not None:
            raise self.fault
        return [job_id for job_id in held if job_id in self.lost]


class Connection:
    """A plain client that only knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True
