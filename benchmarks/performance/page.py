"""The text of the page: prose that holds whatever the figures are, and tables of the records. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.performance.figures import ALL, FLOOR, OURS, SERIES, SYSTEMS, TABLES, UNDER, Figure
from benchmarks.performance.records import Records
from benchmarks.performance.slower import REASONS, Ahead, best, slower, times_better

PROSE = Path(__file__).parent / "page.txt"
#: What can be set by the variable BENCH_ and the name.
SIZES = {
    "rounds": "rounds, of whose values a figure is the median",
    "seconds": "what each backlog takes its system, about, in seconds",
    "least": "the fewest jobs of a backlog",
    "most": "the most jobs of a backlog",
    "enqueues": "enqueues of each way; by many callers under other conditions ten times as many",
    "callers": "callers that enqueue at once",
    "singles": "jobs on an idle queue, for the pick-up",
    "quiet": "seconds that idle workers are listened to",
    "kept": "jobs that wait and are kept, for the bytes of one",
    "jobs": "no-op jobs that are worked off at each point",
    "naps": "jobs of 5 ms there",
    "backlog": "the most jobs that wait behind them",
    "starts": "starts of a process in a round",
}


def page(records: Records) -> str:
    """Return the whole page, in Markdown."""
    tables = {name: _systems(records, figures) for name, figures in SYSTEMS.items()}
    series = {name: _series(records, name, head) for name, head in (SERIES | TABLES).items()}
    return PROSE.read_text("utf-8").format(
        opening=_opening(records),
        glance=_glance(records),
        slower=_slower(records),
        machine=_machine(records),
        versions=_versions(records),
        minutes=_minutes(records),
        sizes=_sizes(records),
        **tables,
        **series,
    )


def _opening(records: Records) -> str:
    machine = records.peers["machine"]
    days = list(dict.fromkeys(_day(record) for record in (records.peers, records.conditions)))
    return (
        f"**Taken on {' and '.join(days)}** on a machine with {machine['cpus']} processors "
        f"({machine['architecture']}, {machine['system']}), Python {machine['python']}, {machine['server']} without "
        "persistence.\nAbsolute figures hold for that machine and that day; how systems compare holds elsewhere, about."
    )


def _day(record: Mapping[str, Any]) -> str:
    return datetime.fromisoformat(record["taken"]).date().isoformat()


def _glance(records: Records) -> str:
    rows = []
    for figure in ALL:
        ours, floor = records.value(OURS, figure.key), records.value(FLOOR, figure.key)
        found = best(records, figure) if figure.better else None
        if ours is None or found is None:
            continue
        key, theirs = found
        times = times_better(figure, ours, theirs)
        peer = f"{figure.text(theirs)} ({records.title(key)})"
        rows.append([_alone(figure), figure.text(ours), peer, _times(times), figure.text(floor)])
    heads = ["", "rota", "best peer", "times better", "floor"]
    return _table(heads, rows)


#: What a column says beside others does not say what it is of where it stands alone.
_ALONE = {
    "pickup_p95_ms": "idle: p95, ms",
    "pickup_p99_ms": "idle: p99, ms",
    "half_p50_ms": "half load: p50, ms",
    "half_p99_ms": "half load: p99, ms",
    "enqueue_callers_per_s": "enqueues/s, 100 callers at once",
    "enqueue_many_per_s": "enqueues/s, in bulk",
    "worker_us": "worker CPU, µs a job",
    "redis_us": "Redis CPU, µs a job",
    "commands": "commands a job",
    "round_trips": "round trips a job",
    "sent_bytes": "bytes sent a job",
    "received_bytes": "bytes received a job",
    "start_s": "start until the first job, s",
}


def _alone(figure: Figure) -> str:
    words = _ALONE.get(figure.key, figure.words)
    return words.replace("idle: p", "pick-up on an idle queue: p").replace(
        "half load: p", "pick-up at half load: p"
    )


def _times(times: float | None) -> str:
    return "-" if times is None else f"{times:.2f} x"


def _slower(records: Records) -> str:
    found = slower(records)
    if not found:
        return "In this run no peer is ahead of rota in any figure."
    rows, said = [], ""
    for figure, peers in found.items():
        why = REASONS.get(figure.key, "")
        ahead = "; ".join(_ahead(figure, peer) for peer in peers)
        ours = figure.text(records.value(OURS, figure.key))
        rows.append([_alone(figure), ours, ahead, "as above" if why and why == said else why])
        said = why
    told = "Every figure in which a peer is ahead, with all peers that are, and how many times as good theirs is."
    if any(peer.overlap for peers in found.values() for peer in peers):
        told += "\nWhere rounds of the two overlap, marked with ~, the difference may be chance."
    return f"{told}\n\n{_table(['', 'rota', 'ahead', 'why'], rows)}"


def _ahead(figure: Figure, peer: Ahead) -> str:
    times = "" if peer.times is None else f" ({_times(peer.times)})"
    return f"{peer.title}: {'~' if peer.overlap else ''}{figure.text(peer.value)}{times}"


def _systems(records: Records, figures: Sequence[Figure]) -> str:
    rows = []
    for key in records.systems:
        cells = [records.title(key), *(figure.text(records.value(key, figure.key)) for figure in figures)]
        rows.append([f"**{cell}**" for cell in cells] if key == OURS else cells)
    return _table(["", *(figure.words for figure in figures)], rows)


def _series(records: Records, name: str, head: str) -> str:
    points = records.points(name)
    if not points:
        return "This was not measured."
    there = {key for _, values in points for key in values}
    figures = [figure for key, figure in UNDER.items() if key in there]
    rate = figures[0]
    heads, rows = [head, *(figure.words for figure in figures)], []
    for x, values in points:
        row = [_place(x), *(figure.text(values.get(figure.key)) for figure in figures)]
        if rate.better == "more":
            row.append(f"{values[rate.key] / points[0][1][rate.key]:.0%}")
        rows.append(row)
    return _table([*heads, "of the first"] if rate.better == "more" else heads, rows)


def _place(x: float | str) -> str:
    """Format where a point lies: a part is a percentage."""
    if isinstance(x, str):
        return x
    return f"{x:.0%}" if 0 < x < 1 else f"{x:,}"


def _machine(records: Records) -> str:
    lines = []
    for name, record in (("peers", records.peers), ("conditions", records.conditions)):
        machine = record["machine"]
        taken = datetime.fromisoformat(record["taken"]).strftime("%Y-%m-%d %H:%M UTC")
        before, after = machine["load_before"][0], machine["load_after"][0]
        lines.append(
            f"* `{name}.json`: {taken}, {machine['cpus']} processors, {machine['architecture']}, {machine['system']}, "
            f"Python {machine['python']}, {machine['server']}; the load was {before:.1f} before and {after:.1f} after."
        )
    return "\n".join(lines)


def _versions(records: Records) -> str:
    """List the versions of each system; those with the same ones share a line."""
    versions: Mapping[str, Mapping[str, str]] = records.peers["versions"]
    skipped: Mapping[str, str] = records.peers["skipped"]
    titles: dict[str, list[str]] = {}
    for key in dict.fromkeys([*records.systems, *skipped]):
        told = [f"{name} {version}" for name, version in versions.get(key, {}).items()]
        if key in skipped:
            told.append(f"not measured, or no further: {skipped[key].splitlines()[0].replace('|', ' ')}")
        titles.setdefault(", ".join(told), []).append(records.title(key))
    return _table(["system", "versions"], [["; ".join(of), told] for told, of in titles.items()])


def _minutes(records: Records) -> str:
    took = [record.get("minutes") for record in (records.peers, records.conditions)]
    if None in took:
        return "about an hour"
    return f"this run took {took[0]} + {took[1]} minutes, without the environments"


def _sizes(records: Records) -> str:
    peers, conditions = records.peers["sizes"], records.conditions["sizes"]
    rows = []
    for name in dict.fromkeys([*peers, *conditions]):
        values = [f"{sizes[name]:,}" if name in sizes else "-" for sizes in (peers, conditions)]
        rows.append([f"`BENCH_{name.upper()}`", *values, SIZES[name]])
    return _table(["", "here: of peers", "of conditions", "what"], rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
