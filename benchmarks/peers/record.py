"""What a run leaves behind as JSON: as the record of `python -m benchmarks`, with the versions of each system. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.figures import Figures
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.sizes import PeerSizes
from benchmarks.peers.table import ratios
from benchmarks.record import Load, heading, rounds, short
from benchmarks.run import Measured

_TITLES = {peer.key: peer.title for peer in PEERS}


def document(
    measured: Measured,
    figures: Mapping[str, Figures],
    sizes: PeerSizes,
    *,
    loads: tuple[Load, Load],
    server: str,
    versions: Mapping[str, Mapping[str, str]],
    skipped: Mapping[str, str],
) -> dict[str, Any]:
    """Make the record: who was measured and who was not, figures with all their rounds, and ratios."""
    return {
        **heading(loads, server),
        "sizes": asdict(sizes),
        "titles": {key: _TITLES[key] for key in measured},
        "versions": versions,
        "skipped": dict(skipped),
        "systems": rounds(measured, figures),
        "times_better": {
            figure: {key: short(value) for key, value in values.items()}
            for figure, values in ratios(figures).items()
        },
    }
