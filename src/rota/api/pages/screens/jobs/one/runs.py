"""How the last runs of a job's name went, as the audit table has them, and how this one compares."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from rota.api import shapes
from rota.api.archive import Archive
from rota.api.pages import words
from rota.api.pages.frame import job_page
from rota.model.info import JobInfo

#: How many runs are looked at, and the size of their chart.
MOST = 100
_STEP, _HIGH = 10, 60


@dataclass(frozen=True, slots=True)
class Run:
    """One job of the name: `wait` and `ran` are in seconds, of the last attempt."""

    id: str
    queue: str
    state: str
    at: datetime
    wait: float | None
    ran: float | None
    attempt: int
    version: str
    is_this: bool


@dataclass(frozen=True, slots=True)
class Runs:
    """The last runs of a name, the newest first; `median` is of those that completed, in seconds."""

    items: Sequence[Run]
    median: float | None
    chart: Markup


async def runs_of(archive: Archive, base: str, info: JobInfo, tenant: str | None) -> Runs:
    """Return the last runs of the name of a job, with a tenant those of its own. Raises StoreError."""
    from rota.store.queries import Wanted  # noqa: PLC0415 - it needs an extra

    rows, _ = await archive.jobs(Wanted(queue=info.queue, name=info.task, tenant=tenant), None, MOST)
    items = [_run(row, info.id) for row in rows]
    done = sorted(one.ran for one in items if one.ran is not None and one.state == "completed")
    return Runs(items, done[len(done) // 2] if done else None, _chart(base, items))


def _run(row: dict[str, Any], job_id: str) -> Run:
    started, ended = row["started_at"], row["finished_at"]
    due = row["due_at"] if row["due_at"] and started and row["due_at"] <= started else row["enqueued_at"]
    return Run(
        row["id"],
        row["queue"],
        shapes.STATE[row["status"]].value,
        row["enqueued_at"],
        max(0.0, (started - due).total_seconds()) if started else None,
        max(0.0, (ended - started).total_seconds()) if started and ended else None,
        row["attempts"],
        row["version"] or "",
        row["id"] == job_id,
    )


def _chart(base: str, items: Sequence[Run]) -> Markup:
    """Return a bar for each run, the oldest at the left, as high as the run was long. The table says the same."""
    longest = max((one.ran for one in items if one.ran is not None), default=0.0) or 1.0
    drawn = []
    for place, one in enumerate(reversed(items)):
        high = max(3.0, _HIGH * (one.ran or 0.0) / longest)
        told = f"{one.state}, {words.duration(one.ran)}" + (", this one" if one.is_this else "")
        drawn.append(
            Markup(
                '<a href="{page}" tabindex="-1"><rect class="{state}{this}" x="{x}" y="{y}" '
                'width="{wide}" height="{high}"><title>{told}</title></rect></a>'
            ).format(
                page=job_page(base, one.queue, one.id),
                state=one.state,
                this=" this" if one.is_this else "",
                x=place * _STEP + 1,
                y=round(_HIGH - high, 1),
                wide=_STEP - 2,
                high=round(high, 1),
                told=told,
            )
        )
    head = Markup(
        '<svg class="runs" viewBox="0 0 {wide} {high}" preserveAspectRatio="none" aria-hidden="true">'
    ).format(wide=max(30, len(items)) * _STEP, high=_HIGH)
    return head + Markup("").join(drawn) + Markup("</svg>")
