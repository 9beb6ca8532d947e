"""What a user of Redis must be allowed: tried at boot, so that nothing is refused in the middle of work.

ACL DRYRUN would need a right that no worker should have. So commands are tried that fail by their arguments, or find
nothing to change: Redis looks at the user's rights before. It takes one connection and one round trip.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from rota.server.clones import target_of
from rota.server.faults import (
    ACL,
    OF_A_SCRIPT,
    ServerError,
    command_refused,
    explained,
    is_key_refused,
)
from rota.wire.keys import (
    ABORT,
    BELL,
    IN_PROGRESS,
    JOB,
    LOG_OF_JOB,
    RESULT,
    RETRY,
    TRIED,
    QueueKeys,
    access_key,
    actions_key,
    bulk_key,
    events_key,
    flows_key,
    leader_key,
    queue_key,
    recording_key,
    records_key,
    schedules_key,
)
from rota.wire.scripts import (
    BULK,
    CANCEL,
    CHECKPOINT,
    DELETE_LETTERS,
    DEPLOYED,
    ENQUEUE,
    ENQUEUE_ONCE,
    FAILURES,
    FLOW_FAN_OUT,
    FLOW_LIST,
    FLOW_LOOK,
    FLOW_RETRY,
    FLOW_START,
    FLOW_STOP,
    HISTORY,
    LEAD,
    LOG,
    LONGEST,
    LOOK,
    METER,
    NUDGE,
    OUTBOX,
    PROGRESS,
    PUBLISH,
    QUOTA,
    RENEW,
    REPLAY,
    RESCHEDULE,
    RIGHTS,
    SCHEDULE_PUBLISH,
    SCHEDULE_TICK,
    STEP,
    SWEEP,
    SWEEP_FLOWS,
    SWEEP_KEYS,
    WATCH,
)

#: The most names of a kind that are shown.
_SHOWN = 8
#: The commands that scripts call and workers send, each with arguments that change nothing. HSET makes the key, a hash,
#: which others then find to be of another type; PEXPIRE, DEL and UNLINK are the last.
_HARMLESS: dict[str, str] = {
    "HSET": "KEY field value",
    "DECR": "KEY",
    "EXISTS": "KEY",
    "GET": "KEY",
    "GETEX": "KEY",
    "GETRANGE": "KEY 0 0",
    "HDEL": "KEY none",
    "HEXISTS": "KEY field",
    "HGET": "KEY field",
    "HGETALL": "KEY",
    "HINCRBY": "KEY field none",
    "HKEYS": "KEY",
    "HLEN": "KEY",
    "HMGET": "KEY field",
    "HSCAN": "KEY 0",
    "HSETNX": "KEY field value",
    "LLEN": "KEY",
    "LPUSH": "KEY value",
    "LRANGE": "KEY 0 0",
    "MGET": "KEY",
    "MSET": "KEY value KEY",
    "PERSIST": "KEY",
    "PTTL": "KEY",
    "RPOP": "KEY",
    "RPUSH": "KEY value",
    "SADD": "KEY value",
    "SCARD": "KEY",
    "SET": "KEY value NONE",
    "SMEMBERS": "KEY",
    "SREM": "KEY value",
    "TIME": "",
    "XADD": "KEY MAXLEN none * field value",
    "XTRIM": "KEY MAXLEN none",
    "ZADD": "KEY none member",
    "ZCARD": "KEY",
    "ZCOUNT": "KEY 0 0",
    "ZMSCORE": "KEY member",
    "ZRANGE": "KEY 0 0",
    "ZRANGEBYSCORE": "KEY 0 0",
    "ZRANK": "KEY member",
    "ZREM": "KEY member",
    "ZREMRANGEBYSCORE": "KEY 0 0",
    "ZSCORE": "KEY member",
    "PEXPIRE": "KEY 1000",
    "XRANGE": "KEY - + COUNT 1",
    "XREVRANGE": "KEY + - COUNT 1",
    "XLEN": "KEY",
    "XINFO|STREAM": "KEY",
    "MEMORY|USAGE": "KEY",
    "DEL": "KEY",
    "UNLINK": "KEY",
}
#: What scripts call where the server knows it, and the user may: not tried, as nothing depends on it.
OPTIONAL = frozenset({"MSETEX"})
#: What a script cannot try.
_SENT_BY_ALL: tuple[tuple[Any, ...], ...] = (("EVALSHA", RIGHTS.sha, 0), ("PING",))
_SENT_BY_WORKERS: tuple[tuple[Any, ...], ...] = (
    ("BLPOP", TRIED, "none"),
    ("CLIENT", "SETNAME", ""),
    ("CLIENT", "TRACKING", "OFF"),
)
_WORKERS_SCRIPTS = (
    *(STEP, RENEW, PROGRESS, CHECKPOINT, LOG, WATCH, NUDGE, PUBLISH, FLOW_FAN_OUT, FLOW_STOP),
    *(SCHEDULE_PUBLISH, SCHEDULE_TICK, LEAD, SWEEP, SWEEP_KEYS, SWEEP_FLOWS, HISTORY, DEPLOYED),
    *(BULK, CANCEL, REPLAY, DELETE_LETTERS, RESCHEDULE),
)
#: What a worker sends beside its scripts: its heartbeat, what its flows' jobs read, how it learns of cancels; and, as
#: the leader, how it stays that, and what it reads of schedules.
_SENT = (
    *("DEL", "EXISTS", "GETEX", "HGET", "HMGET", "LPUSH", "LRANGE", "MGET", "PEXPIRE", "PTTL"),
    *("SADD", "SET", "SMEMBERS", "SREM", "ZMSCORE"),
    *("GET", "HGETALL", "TIME", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZSCORE", "ZCOUNT"),
)
_HISTORY = ("history", "history-sent")
#: What the leader sends besides, to read the events that webhooks are told of.
_LEADERS = ("XRANGE", "XINFO|STREAM")
#: What the leader sends besides, where it writes the audit table and sends what lies in the outbox.
_RECORDERS_SCRIPTS = (OUTBOX,)
_RECORDERS = ("XRANGE", "XREVRANGE", "XLEN", "XINFO|STREAM", "MEMORY|USAGE", "XTRIM", "SET", "GET")
#: What a client calls, and the API with it: it sends what looks at jobs, streams, schedules, workers, keys and tickets.
CLIENTS_SCRIPTS = (
    *(ENQUEUE, ENQUEUE_ONCE, CANCEL, REPLAY, DELETE_LETTERS, RESCHEDULE, NUDGE),
    *(FLOW_START, FLOW_FAN_OUT, FLOW_STOP, FLOW_RETRY),
)
_APIS_SCRIPTS = (
    *CLIENTS_SCRIPTS,
    FLOW_LIST,
    FLOW_LOOK,
    SCHEDULE_TICK,
    METER,
    QUOTA,
    FAILURES,
    LONGEST,
    LOOK,
)
_APIS = (
    *("DEL", "EXISTS", "GET", "GETRANGE", "HDEL", "HGET", "HGETALL", "HKEYS", "HMGET", "HSET"),
    *("LPUSH", "LRANGE", "MGET", "PEXPIRE", "PTTL", "SCARD", "SET", "SMEMBERS", "TIME", "UNLINK"),
    *("XADD", "XLEN", "XRANGE", "XREVRANGE"),
    *("ZADD", "ZCARD", "ZCOUNT", "ZMSCORE", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYSCORE", "ZSCORE"),
)


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights that a user needs: to `commands`, which scripts call, and to read and write `keys`.

    :param works: whether it waits for jobs, and hears of changed keys, as a worker does.
    """

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    works: bool = True

    @classmethod
    def of_worker(
        cls, queues: Sequence[str], namespace: str, *, leads: bool = True, records: bool = False
    ) -> "Rights":
        """Return what a worker of `queues` must be allowed.

        :param leads: whether it may come to lead.
        :param records: whether it then writes the audit table.
        """
        records = records and leads
        scripts = (*_WORKERS_SCRIPTS, *(_RECORDERS_SCRIPTS if records else ()))
        needed = {*_SENT, *(_LEADERS if leads else ()), *(_RECORDERS if records else ())}
        needed |= {name for script in scripts for name in script.commands}
        leader, bulk = leader_key(namespace), bulk_key(namespace)
        leaders = (
            (leader, f"{leader}:rights", bulk, f"{bulk}:rights", actions_key(namespace)) if leads else ()
        )
        outbox = (f"{namespace}:outbox:rights",) if records else ()
        bell = (f"{BELL}rights",) if len(queues) > 1 else ()
        return cls(_known(needed), (*_keys_of_jobs(queues, namespace), *bell, *leaders, *outbox))

    @classmethod
    def of_api(cls, queues: Sequence[str], namespace: str) -> "Rights":
        """Return what the API must be allowed, for jobs of `queues`."""
        needed = {*_APIS, *(name for script in _APIS_SCRIPTS for name in script.commands)}
        access, bulk = access_key(namespace), bulk_key(namespace)
        own = (leader_key(namespace), access, f"{access}:ticket:rights", flows_key(namespace, "rights"))
        acting = (bulk, f"{bulk}:rights", actions_key(namespace))
        keys = (*_keys_of_jobs(queues, namespace), *own, *acting)
        return cls(_known(needed), keys, works=False)


def _known(needed: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in _HARMLESS if name in needed)


def _keys_of_jobs(queues: Sequence[str], namespace: str) -> Iterator[str]:
    """Yield a key of each kind in which jobs of `queues` lie, their limits, flows, schedules, events and history."""
    for keys in map(QueueKeys.of, map(queue_key, queues)):
        yield keys.queue
        yield f"{keys.dead}:rights"
    for prefix in (JOB, RESULT, RETRY, IN_PROGRESS, LOG_OF_JOB):
        yield f"{prefix}rights"
    yield ABORT
    for key in (events_key, records_key, recording_key, schedules_key):
        yield key(namespace)
    for kind in ("flow", "limit", "slots", "unique", "schedule", "schedules", *_HISTORY):
        yield f"{namespace}:{kind}:rights"


async def check_rights(client: Any, rights: Rights) -> None:
    """Try commands and keys as they are used later. Raises ServerError, with those that are refused."""
    async with explained(client):
        commands, keys = await _refused(client, rights)
    named = (("command", commands), ("key", keys))
    refused = " and ".join(_listed(what, names) for what, names in named if names)
    if refused:
        advice = _advice(client, [*commands, *keys])
        raise ServerError(f"{target_of(client.connection_pool)} refuses {refused} to this user: {advice}")


def _advice(client: Any, refused: Sequence[str]) -> str:
    """Return what to do: the line that allows what is refused, unless it would be long, or no line can allow that."""
    words = [_allowing(name) for name in refused]
    if len(words) > _SHOWN or any(" " in word for word in words):
        return ACL
    user = client.connection_pool.connection_kwargs.get("username") or "default"
    return f"ACL SETUSER {user} {' '.join(words)} (docs/redis.md lists all rights)"


def _allowing(name: str) -> str:
    if ":" in name:
        return f"~{name}"
    # What keeps its spaces cannot be allowed by a word: a command that is disabled, or one that Redis 6 does not name.
    command = name if "(" in name or name == OF_A_SCRIPT else name.replace(" ", "|")
    return f"+{command.lower()}"


async def _refused(client: Any, rights: Rights) -> tuple[list[str], list[str]]:
    """Return the commands and the keys that are refused."""
    commands, keys = list(_words_of(rights.commands)), list(_touching(rights.keys))
    tried = [word for words in (*commands, *keys) for word in (len(words), *words)]
    sent = _SENT_BY_ALL if not rights.works else (*_SENT_BY_ALL, *_SENT_BY_WORKERS)
    first, *others = await _answers(client, [("EVAL", RIGHTS.source, 0, *tried), *sent])
    # Where the script itself is refused, nothing is known of what it would have tried.
    errors = [raw.decode("utf-8", "replace") for raw in first] if isinstance(first, list) else []
    of_commands, of_keys = errors[: len(commands)], errors[len(commands) :]
    refused = filter(None, map(command_refused, (first, *others, *of_commands)))
    lost = (words[1] for words, error in zip(keys, of_keys, strict=False) if is_key_refused(error))
    return _once(refused), _once(key.replace("rights", "*") for key in lost)


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"the {what}{'s' if len(names) > 1 else ''} {', '.join(names[:_SHOWN])}{more}"


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _words_of(commands: Sequence[str]) -> Iterator[list[str]]:
    for name in commands:
        yield [*name.split("|"), *_HARMLESS[name].replace("KEY", TRIED).split()]


def _touching(keys: Sequence[str]) -> Iterator[list[str]]:
    """Yield commands that read and write each key, and change nothing, whatever lies there: not even when it ends."""
    for key in keys:
        yield ["EXISTS", key]
        yield ["HDEL", key, TRIED]


async def _answers(client: Any, sent: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return what Redis answers to each command; an error is a value."""
    connection = client.connection_pool.make_connection()
    connection.protocol = 2
    try:
        await connection.connect()
        for words in sent:
            await connection.send_command(*words)
        return [await _answer(connection) for _ in sent]
    finally:
        await connection.disconnect(nowait=True)


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
