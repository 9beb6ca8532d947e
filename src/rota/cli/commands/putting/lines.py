"""Jobs from lines of JSON: all are checked before the first is enqueued, and what is wrong is said by its line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json

from rota.cli.arguments import duration, moment
from rota.client.client import Client
from rota.errors import EnqueueIncomplete, RotaError
from rota.model.handle import Handle
from rota.model.job import Call, Job
from rota.model.registry import Registry
from rota.server.faults import ServerError

#: How many jobs are sent before it is said that they are enqueued.
PORTION = 1000
#: The most wrong lines that are said one by one.
_SHOWN = 20

_FIELDS = ("name", "payload", "options")
#: The options that a line may have, and how those are read that JSON has no type for.
_OPTIONS: dict[str, Any] = {
    "id": None,
    "delay": duration("delay"),
    "at": moment,
    "priority": None,
    "queue": None,
    "timeout": duration("timeout"),
    "max_attempts": None,
    "tenant": None,
    "on_taken": None,
}


class Line(NamedTuple):
    """A line of the input by its number, and the job that it asks for."""

    number: int
    call: Call[Any]


class WrongLines(RotaError):
    """Raised where lines cannot be enqueued: of none of the lines anything was."""

    def __init__(self, said: Sequence[str], wrong: int, total: int) -> None:
        super().__init__(tuple(said), wrong, total)

    def __str__(self) -> str:
        said, wrong, total = self.args
        more = f"\n… and {wrong - len(said):,} more" if wrong > len(said) else ""
        return (
            f"{wrong:,} of {total:,} lines cannot be enqueued, and nothing was; mend them and send all again\n"
            + "\n".join(said)
            + more
        )


def read(lines: Iterable[bytes], registry: Registry, job: Job[Any, Any] | None) -> list[Line]:
    """Return the jobs that lines ask for: payloads of `job`, or objects of name, payload, options. Raises WrongLines.

    Empty lines are passed over.
    """
    found: list[Line] = []
    said: list[str] = []
    wrong = 0
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            found.append(Line(number, _call(text, registry, job)))
        except (RotaError, ValueError, TypeError) as error:
            wrong += 1
            if wrong <= _SHOWN:
                said.append(f"line {number}: {error}")
    if wrong:
        raise WrongLines(said, wrong, wrong + len(found))
    return found


def _call(text: bytes, registry: Registry, job: Job[Any, Any] | None) -> Call[Any]:
    value = from_json(text)
    if not isinstance(value, dict):
        raise TypeError(f"it is a JSON {type(value).__name__}, and has to be an object")
    if job is not None:
        return job.call(**value)
    _refuse_others("field", value, _FIELDS)
    if not isinstance(value.get("name"), str):
        raise TypeError('it names no job; write {"name": "queue:name", "payload": {…}}, or give NAME')
    found = registry.find(value["name"]).options(**_options(value.get("options", {})))
    payload = value.get("payload", {})
    if not isinstance(payload, dict):
        raise TypeError("its payload is no object of named arguments")
    return found.call(**payload)


def _options(given: object) -> dict[str, Any]:
    """Return the options of a line, read; what is there already under the id is left as it is, unless they say more."""
    if not isinstance(given, dict):
        raise TypeError("its options are no object")
    _refuse_others("option", given, tuple(_OPTIONS))
    if given.get("on_taken") == "refuse":
        raise ValueError("on_taken is 'refuse'; here a job whose id is taken is left as it is, or replaced")
    read = {name: reader(value) if (reader := _OPTIONS[name]) else value for name, value in given.items()}
    return {"on_taken": "existing", **read}


def _refuse_others(what: str, given: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for name in given:
        if name not in allowed:
            raise TypeError(f"there is no {what} {name!r}; choose from: {', '.join(allowed)}")


class Sent(NamedTuple):
    """A line whose job is enqueued, or was there before."""

    number: int
    handle: Handle[Any]


async def send(client: Client, lines: Sequence[Line]) -> Any:
    """Enqueue lines in their order, and yield each portion once it is. Raises ServerError that says how far it came."""
    for begin in range(0, len(lines), PORTION):
        portion = lines[begin : begin + PORTION]
        try:
            handles = await client.enqueue_many([line.call for line in portion])
        except (ServerError, EnqueueIncomplete) as error:
            raise ServerError(_stopped(lines, begin, portion, error), transient=True) from error
        yield [Sent(line.number, handle) for line, handle in zip(portion, handles, strict=True)]


def _stopped(lines: Sequence[Line], begin: int, portion: Sequence[Line], error: RotaError) -> str:
    reason = error.reason if isinstance(error, EnqueueIncomplete) else str(error)
    done = (
        f"the jobs up to line {lines[begin - 1].number} are enqueued"
        if begin
        else "no earlier job is enqueued"
    )
    first, last = portion[0].number, portion[-1].number
    return (
        f"{reason}; {done}, and of lines {first} to {last} some may be: send them and what follows again, those that "
        "have an id are not enqueued twice"
    )


def told(sent: Iterable[Sent]) -> Iterator[dict[str, Any]]:
    """Yield what is said of each line as JSON."""
    for number, handle in sent:
        yield {"line": number, "queue": handle.queue, "id": handle.id, "created": handle.created}
