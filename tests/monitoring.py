"""What the tests of rules and dashboards know of both: the files, their queries, and the names that may be there."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rota.telemetry.metrics.series import BY_NAME, SERIES
from tests.yaml_files import read_yaml

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
BOARDS = ROOT / "deploy" / "grafana" / "dashboards"

GROUPS: list[dict[str, Any]] = read_yaml(PROMETHEUS / "rules.yml")["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED: dict[str, str] = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}

#: Of the process itself; the client library exports them.
PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
}
#: Prometheus' own.
OWN = {"up", "ALERTS"}
TARGET = {"namespace", "job", "instance"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}

EXPORTED = {series.name + end for series in SERIES for end in _SUFFIXES.get(series.type, ("",))} | PROCESS
NAME = re.compile(
    r"(?<![\w:\"])(?:[a-z_]+:)?(?:arq|aqr|rota|process)_[a-z0-9_]+(?::[a-z0-9_]+)?|\b(?:up|ALERTS)\b"
)
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")


@dataclass(frozen=True)
class Query:
    """A query of a dashboard, and the panel that it belongs to."""

    board: str
    panel: str
    expr: str


def boards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by name."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(BOARDS.glob("*.json"))}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard, without its headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Return every query of every panel."""
    return [
        Query(name, panel["title"], target["expr"])
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def names_in(expr: str) -> set[str]:
    """Find the names of the metrics that a query reads."""
    return set(NAME.findall(re.sub(r'"[^"]*"', '""', expr)))


def wrong_labels(expr: str) -> list[str]:
    """Find the conditions of a query on labels that the metric does not have."""
    wrong = []
    for name, conditions in SELECTOR.findall(expr):
        series = BY_NAME.get(name) or BY_NAME.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if series is None:
            continue
        for label in re.findall(r"(\w+)\s*[=!]", re.sub(r'"[^"]*"', '""', conditions)):
            if label not in {*series.labels, *TARGET, "le"}:
                wrong.append(f"{name}{{{label}}}")
    return wrong
