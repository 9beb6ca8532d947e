"""Queries on our series. A name, a label or a use that `rota.telemetry.metrics.series` does not know is an error.

Each of these takes the labels to sum or choose by, and conditions on labels as keywords: `=` for a plain value, `=~`
for one with a variable or an alternative in it.
"""

from rota.telemetry.metrics.series import BY_NAME, MetricType, Scope

#: The labels that every scrape sets, beside the labels of the series.
TARGET = ("namespace", "job", "instance")
#: The labels by which the controls of a dashboard narrow its queries.
NAMESPACE, QUEUE, TASK = "$namespace", "$queue", "$task"
#: A window that always holds some scrapes, at every zoom.
WINDOW = "$__rate_interval"


def most(name: str, *by: str, **where: str) -> str:
    """Query a gauge of the fleet, which every exporter shows alike, so that two exporters count once."""
    return f"max{_by(by)} ({_selected(name, ('gauge', 'counter'), 'fleet', by=by, where=where)})"


def least(name: str, *by: str, **where: str) -> str:
    """Query a gauge of the fleet, where one bad reading is enough."""
    return f"min{_by(by)} ({_selected(name, ('gauge',), 'fleet', by=by, where=where)})"


def count(name: str, *by: str, **where: str) -> str:
    """Query a gauge of the fleet that counts something in each queue, summed over queues."""
    return f"sum{_by(by)} ({most(name, *dict.fromkeys(('namespace', 'queue', *by)), **where)})"


def total(name: str, *by: str, **where: str) -> str:
    """Query a gauge of processes, summed over processes."""
    return f"sum{_by(by)} ({_selected(name, ('gauge', 'info'), 'process', by=by, where=where)})"


def worst(name: str, *by: str, **where: str) -> str:
    """Query a gauge of processes, the highest of all."""
    return f"max{_by(by)} ({_selected(name, ('gauge',), 'process', by=by, where=where)})"


def rate(name: str, *by: str, **where: str) -> str:
    """Query the rate of a counter a second, summed over processes."""
    return f"sum{_by(by)} (rate({_selected(name, ('counter',), 'process', by=by, where=where)}[{WINDOW}]))"


def increase(name: str, *by: str, **where: str) -> str:
    """Query the increase of a counter since the graph's last point, summed over processes."""
    return (
        f"sum{_by(by)} (increase({_selected(name, ('counter',), 'process', by=by, where=where)}[{WINDOW}]))"
    )


def buckets(name: str, *by: str, **where: str) -> str:
    """Query the rates of a histogram's buckets a second."""
    selected = _selected(name, ("histogram",), "process", by=by, where=where, suffix="_bucket")
    return f"sum{_by((*by, 'le'))} (rate({selected}[{WINDOW}]))"


def quantile(part: float, name: str, *by: str, **where: str) -> str:
    """Query a quantile of a histogram of processes."""
    return f"histogram_quantile({part:g}, {buckets(name, *by, **where)})"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _selected(
    name: str,
    types: tuple[MetricType, ...],
    scope: Scope,
    *,
    by: tuple[str, ...],
    where: dict[str, str],
    suffix: str = "",
) -> str:
    series = BY_NAME.get(name)
    if series is None:
        raise ValueError(f"no process exports {name}")
    if series.type not in types or series.scope != scope:
        raise ValueError(
            f"{name} is a {series.type} of the {series.scope}, not a {' or '.join(types)} of the {scope}"
        )
    if unknown := {*by, *where} - {*series.labels, *TARGET}:
        raise ValueError(
            f"{name} has no label {', '.join(sorted(unknown))}; it has {', '.join(series.labels)}"
        )
    conditions = {"namespace": NAMESPACE, **where}
    return name + suffix + "{" + ",".join(f"{label}{_matches(to)}" for label, to in conditions.items()) + "}"


def _matches(value: str) -> str:
    operator = "=~" if {"$", "|", "*"} & set(value) else "="
    return f'{operator}"{value}"'
