"""What the list of jobs shows of what is asked for: tabs with counts, conditions as one can drop them, and columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Request
from starlette.datastructures import QueryParams

from rota.api.asking.filters import OVER, Asking, Filters
from rota.api.asking.language import PARAMETERS, Mistake, terms
from rota.client.looking.live import LISTED
from rota.model.bulk.filters import BulkAction
from rota.model.state import State

#: The tabs of jobs as they were recorded: those in a status, and all.
RECORDED = (*OVER, "all")
#: The times that the filter offers.
SINCE = ("15m", "1h", "24h", "7d", "30d")
#: The parameters that are conditions, in the order in which they are shown; `q` has its own.
_CONDITIONS = ("queue", "name", "tenant", "since", "error", "flow")
#: The columns beside the name, by their titles.
COLUMNS = {
    "state": "State",
    "id": "Id",
    "tenant": "Tenant",
    "attempt": "Attempt",
    "when": "When",
    "took": "Took",
    "progress": "Progress",
    "worker": "Worker",
    "about": "What is said of it",
}
#: The most that are counted in the audit table, of each status.
COUNTED = 10_000
_OF_RUNNING = ("progress", "worker")
COOKIE = "rota-columns"

#: What can be done to the jobs of each state: the action, what it is called, and whether it harms.
ACTIONS: Mapping[State, Sequence[tuple[BulkAction, str]]] = {
    State.DEAD: ((BulkAction.RETRY, "Retry"), (BulkAction.DELETE, "Delete")),
    State.WAITING: ((BulkAction.CANCEL, "Cancel"),),
    State.DELAYED: ((BulkAction.RUN_NOW, "Run now"), (BulkAction.CANCEL, "Cancel")),
    State.ACTIVE: ((BulkAction.CANCEL, "Cancel"),),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A list as the address of its page says it.

    :param given: the parameters that are not empty.
    """

    given: Mapping[str, str]

    @classmethod
    def of(cls, query: QueryParams) -> "Wish":
        """Return what the query of an address asks for."""
        given = {name: value.strip() for name, value in query.items() if value.strip()}
        # Addresses of before had the words of the audit table.
        of_status = {status: state for state, status in OVER.items()}
        if "status" in given:
            given["state"] = of_status.get(given.pop("status"), "all")
        return cls(given)

    @property
    def tab(self) -> str:
        return self.given.get("state", "")

    @property
    def text(self) -> str:
        return self.given.get("q", "")

    @property
    def list(self) -> str:
        """The query of the list, by which the page of one of its jobs leads back to it."""
        return urlencode(self.given)

    def fields(self) -> dict[str, str]:
        """Return the parameters of the list, as the interface for programs has them. Its text says since when, too."""
        found = {name: self.given[name] for name in _CONDITIONS if name in self.given and name != "since"}
        if self.tab in OVER:
            found["status"] = OVER[self.tab]
        elif self.tab and self.tab != "all":
            found["state"] = self.tab
        # Behind the text, so that the places in it stay.
        since = f" since:{self.given['since']}" if "since" in self.given else ""
        return {**found, "q": self.text + since} if self.text or since else found

    def address(self, base: str, **changed: str) -> str:
        """Return the address of the list with other parameters, from its beginning; empty ones are left out."""
        whole = {name: value for name, value in self.given.items() if name != "cursor"} | changed
        return f"{base}/jobs?{urlencode({name: value for name, value in whole.items() if value})}"


class Dropped(NamedTuple):
    """A condition of a list, and where the list without it is.

    :param key: by which it is known what it excludes: the name of the parameter, or the term as it was written.
    """

    key: str
    words: str
    address: str


def conditions(wish: Wish, base: str) -> list[Dropped]:
    """Return the conditions of a list, each with the list without it."""
    named = [name for name in _CONDITIONS if name in wish.given]
    found = [
        Dropped(name, f"{_WORDS.get(name, name)}:{wish.given[name]}", wish.address(base, **{name: ""}))
        for name in named
    ]
    try:
        for term in terms(wish.text):
            written = wish.text[term.start : term.end]
            rest = f"{wish.text[: term.start].rstrip()} {wish.text[term.end :].lstrip()}".strip()
            found.append(Dropped(PARAMETERS.get(term.field, written), written, wish.address(base, q=rest)))
    except Mistake:
        pass
    return found


_WORDS = {"error": "cause"}


class Tab(NamedTuple):
    """A tab of the list: a state, how many jobs are in it, in words, and its address."""

    name: str
    counted: str
    address: str
    is_live: bool


def tabs(
    wish: Wish,
    base: str,
    live: Mapping[str, Mapping[State, int]],
    recorded: Mapping[str, int] | None,
    *,
    has_table: bool,
) -> list[Tab]:
    """Return the tabs: of what Redis has with exact counts, of the audit table with counts up to a bound."""
    found = []
    for state in LISTED:
        count = f"{sum(one[state] for one in live.values()):,}" if live else ""
        found.append(Tab(state.value, count, wish.address(base, state=state.value), is_live=True))
    for name in RECORDED if has_table else ():
        found.append(Tab(name, _recorded(name, recorded), wish.address(base, state=name), is_live=False))
    return found


def _recorded(name: str, counts: Mapping[str, int] | None) -> str:
    if counts is None or name == "all":
        return ""
    number = counts[OVER[name]]
    return f"{number:,}" if number < COUNTED else f"{COUNTED:,}+"


def columns(request: Request, tab: str, items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the columns that are shown: those that the visitor has chosen, or those that say something here."""
    if (chosen := request.cookies.get(COOKIE)) is not None:
        return [name for name in COLUMNS if name in chosen.split(".")]
    has_tenants = any(one["tenant"] for one in items)
    left_out = {"tenant"} - ({"tenant"} if has_tenants else set())
    left_out |= set(_OF_RUNNING) if tab != State.ACTIVE.value else {"about"}
    return [name for name in COLUMNS if name not in left_out]


def when(tab: str) -> str:
    """Return what the time of a list is."""
    return {"waiting": "Due", "delayed": "Due", "active": "Started", "all": "Enqueued"}.get(tab, "Finished")


def bulk_of(asking: Asking, queues: Sequence[str]) -> dict[str, str] | None:
    """Return the filter of an action on all jobs of a list of Redis; None where no filter has its conditions."""
    one = asking.filters
    is_dead = one.state is State.DEAD
    found = {name: value for name in ("name", "tenant", "error") if (value := getattr(one, name)) is not None}
    for condition in asking.conditions:
        name = {"error": "error_contains", "reason": "reason"}.get(condition.field)
        if name is None or name in found or not is_dead:
            return None
        found[name] = condition.value
    times = {name: at.isoformat() for name in ("since", "until") if (at := getattr(one, name)) is not None}
    where = {"queue": one.queue} if one.queue is not None else {"queues": " ".join(queues)}
    return {**where, "state": str(one.state), **found, **times}


def filters_of(wish: Wish) -> Filters:
    """Return the parameters of a list, with the place from which it is shown. Raises ValidationError."""
    cursor = {"cursor": wish.given["cursor"]} if "cursor" in wish.given else {}
    return Filters.model_validate(wish.fields() | cursor)
