"""Jobs under limits: the terms that they are enqueued with, and the keys that they must not leave behind."""

from rota.model.policies.limits import RateLimit, per_second
from tests.unit.wire.lua.beds import Bed


def rated(key: str = "*", limit: RateLimit | None = None, name: str = "r") -> str:
    limit = limit or per_second(1)
    return f"r=rota:limit:{name}|{key}|{limit.interval_us}|{limit.tolerance_us}"


def slotted(key: str = "*", most: int = 1, name: str = "s") -> str:
    return f"c=rota:slots:{name}|{key}|{most}"


def lines(bed: Bed) -> list[str]:
    """Return the keys of lines, parked jobs, terms, slots and priorities."""
    patterns = (
        "arq:queue:*:line:*",
        "arq:queue:*:parked",
        "arq:queue:*:terms",
        "rota:slots:*",
        "arq:queue:*:p?",
    )
    return sorted(key.decode() for pattern in patterns for key in bed.looking.keys(pattern))
