"""Stands in for what serves /metrics: every series there is, with labels as they occur; counters count up with time.

Runs in the worker's image, in place of a worker (its own series) or of the exporter (the fleet's).
"""

import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product

from rota.telemetry.metrics.series import SERIES, Series

STARTED = time.time()
LABELS = {
    "queue": ("default", "email"),
    "task": ("rest",),
    "state": ("waiting", "delayed", "active", "dead"),
    "status": ("running", "draining"),
    "outcome": ("completed", "retried", "dead"),
    "reason": ("unknown", "memory"),
    "check": ("maxmemory_policy", "persistence"),
    "version": ("0.1.0",),
    "app_version": ("1.4.2",),
    "python": ("3.13.0",),
    "arq": ("0.28.0",),
    "role": ("leader",),
    "schedule": ("default:tidy#1",),
}
PROCESS = """\
process_cpu_seconds_total 1
process_resident_memory_bytes 1e8
process_start_time_seconds 1
process_open_fds 9"""


def samples(series: Series) -> Iterator[str]:
    counted = 1 + int(time.time() - STARTED)
    for values in product(*(LABELS[label] for label in series.labels)):
        labels = [f'{label}="{value}"' for label, value in zip(series.labels, values, strict=True)]
        if series.type == "histogram":
            for at, bound in enumerate((*map(str, series.buckets), "+Inf"), 1):
                bounded = ",".join([*labels, f'le="{bound}"'])
                yield f"{series.name}_bucket{{{bounded}}} {counted * at}"
            yield f"{series.name}_sum{{{','.join(labels)}}} {counted}"
            yield f"{series.name}_count{{{','.join(labels)}}} {counted * (len(series.buckets) + 1)}"
            continue
        value = counted if series.type == "counter" else 1
        if series.name.endswith("_timestamp_seconds"):
            value = int(time.time())
        yield f"{series.name}{{{','.join(labels)}}} {value}"


def page(scope: str) -> str:
    lines = [line for series in SERIES if series.scope == scope for line in samples(series)]
    return "\n".join([*lines, PROCESS, ""])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = page("fleet" if os.environ["MODE"] == "exporter" else "process").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 9464), Handler).serve_forever()
