"""What a server says of itself while it runs: its memory, and whether it is set up to keep jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from rota.server.check import is_new_enough


@dataclass(frozen=True, slots=True)
class Facts:
    """Memory in bytes (`memory_max` 0: no limit), keys evicted since the start, and each check of the set-up.

    `checks`: `maxmemory_policy` is noeviction; `persistence`: there is an append-only file; `maxmemory`: there is a
    limit, so that a full Redis refuses jobs before the kernel ends it; `version`. What a server does not tell is left
    out.
    """

    memory_used: int
    memory_max: int
    evicted: int
    checks: dict[str, bool]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """From the answer to INFO."""
        checks = {"version": is_new_enough(info)}
        if "maxmemory_policy" in info:
            checks["maxmemory_policy"] = info["maxmemory_policy"] == "noeviction"
        if "aof_enabled" in info:
            checks["persistence"] = bool(info["aof_enabled"])
        if "maxmemory" in info:
            checks["maxmemory"] = int(info["maxmemory"]) > 0
        return cls(
            int(info.get("used_memory") or 0),
            int(info.get("maxmemory") or 0),
            int(info.get("evicted_keys") or 0),
            checks,
        )
