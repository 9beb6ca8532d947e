"""The two records that the page is made of, as `benchmarks.peers` and `benchmarks.conditions` write them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.performance.figures import FLOOR, OURS, SERIES

HERE = Path(__file__).parent.parent
PEERS, CONDITIONS = HERE / "peers.json", HERE / "conditions.json"


class WrongRecord(Exception):
    """Raised for a record that is not there or lacks what the page shows, with the command that makes it."""


@dataclass(frozen=True)
class Records:
    """Systems side by side, and rota under other conditions."""

    peers: Mapping[str, Any]
    conditions: Mapping[str, Any]

    @classmethod
    def read(cls, peers: Path = PEERS, conditions: Path = CONDITIONS) -> Self:
        """Read both records. Raises WrongRecord."""
        read = cls(_json(peers, "peers"), _json(conditions, "conditions"))
        if not read.peers["systems"].get(OURS):
            raise WrongRecord(f"{peers.name} has no {OURS} in it: python -m benchmarks.peers measures all")
        for name in SERIES:
            if name not in read.conditions["series"]:
                command = f"python -m benchmarks.conditions --only {name}"
                raise WrongRecord(f"{conditions.name} has no series {name}: {command} adds it")
        return read

    @property
    def systems(self) -> list[str]:
        """The keys of all systems that have figures, in the order of the record."""
        return [key for key, figures in self.peers["systems"].items() if figures]

    @property
    def rivals(self) -> list[str]:
        """The keys of the systems that rota is compared with: the floor does not do what a product must."""
        return [key for key in self.systems if key != OURS and not is_floor(key)]

    def title(self, key: str) -> str:
        """Return what a system is called on the page."""
        return str(self.peers["titles"].get(key, key))

    def value(self, key: str, figure: str) -> float | None:
        """Return the median of a figure of a system, or None if it has no such figure."""
        found = self.peers["systems"].get(key, {}).get(figure)
        return None if found is None else float(found["median"])

    def rounds(self, key: str, figure: str) -> Sequence[float]:
        """Return the values of all rounds, of which `value` is the median."""
        return list(self.peers["systems"][key][figure]["rounds"])

    def points(self, series: str) -> list[tuple[Any, dict[str, float]]]:
        """Return where each point of a series lies, and the medians there; nothing of one that was not measured."""
        return [
            (point["x"], {name: figure["median"] for name, figure in point["figures"].items()})
            for point in self.conditions["series"].get(series, {"points": ()})["points"]
        ]


def is_floor(key: str) -> bool:
    """Tell the bare loops, which show what the stack could reach, from systems."""
    return key.startswith(FLOOR)


def _json(path: Path, module: str) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise WrongRecord(f"there is no {path.name}: python -m benchmarks.{module} writes it") from None
    return content
