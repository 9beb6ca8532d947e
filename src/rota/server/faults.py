"""Turns what redis-py raises into one sentence: what is wrong with the server, and what to change.

`explain` is for the first command to a server, when a fault says that the address or the login is wrong. `explained` is
for the commands after it. The sentences never repeat the server's own words: a server that does not understand AUTH
quotes the password back.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from redis import exceptions as redis_faults
from redis.asyncio.sentinel import MasterNotFoundError

from rota.errors import RotaError
from rota.errors.traces import chain
from rota.server.clones import target_of
from rota.server.outage import FAULTS
from rota.server.target import RedisTarget

SENTINEL = "is a Sentinel, not a Redis: write redis+sentinel:// in REDIS_URL, or set REDIS_SENTINELS"
NOT_REDIS = "does not answer as Redis does: correct REDIS_URL (or REDIS_HOST and REDIS_PORT)"
LOADING = "is still loading its data: try again when it has, or give it more BOOT_TIMEOUT"
FULL = "it is full and takes no new jobs, workers drain it: raise its maxmemory or free some of it"
REPLICA = "is a read-only replica: point REDIS_URL (or REDIS_HOST) at the master, or use Sentinel"

_LOGIN = "correct the user and password in REDIS_URL (or REDIS_USERNAME and REDIS_PASSWORD)"
_PLACE = "start it, or correct REDIS_URL (or REDIS_HOST and REDIS_PORT)"
_USE_TLS = "write rediss:// in REDIS_URL (or set REDIS_SSL=true)"
_NO_TLS = "write redis:// in REDIS_URL (or set REDIS_SSL=false)"
#: What helps a user who may not do something.
ACL = "give it the rights that docs/redis.md lists"
#: What is refused where Redis does not name it.
OF_A_SCRIPT = "of a script"
_PROTECTED = "give it a password, or set protected-mode no"

# Of an answer only the command's name is repeated: behind it a server may quote the arguments of AUTH.
_DENIED = re.compile(r"run the '([A-Za-z|_-]+)' command")
_UNKNOWN = re.compile(r"nknown (?:command|subcommand) ['`]([A-Za-z|_-]{2,24})['`]")

#: States in which a server takes no commands, or no writes, and that may pass by themselves: by the class of the fault,
#: or by a word of its text.
_STATES: tuple[tuple[type[Exception] | str, str], ...] = (
    (
        redis_faults.OutOfMemoryError,
        "is full: raise its maxmemory, or remove what is not needed; nothing was written",
    ),
    (
        redis_faults.ReadOnlyError,
        "is a read-only replica: point REDIS_URL at the primary; nothing was written",
    ),
    (
        "MASTERDOWN",
        "is a replica that has lost its master: wait for that, or point REDIS_URL (or REDIS_HOST) at the master",
    ),
    ("MISCONF", "cannot save to its disk and takes no writes: make room there, or look at its log"),
    ("BUSY ", "runs a script that does not end: wait for it, or end it with SCRIPT KILL"),
    ("NOREPLICAS", "takes no writes without its replicas: bring them back, or lower min-replicas-to-write"),
    ("WRONGTYPE", "holds a key of ours with another type: is its database shared with another application?"),
)
#: How the answers begin that only a cluster gives.
_OF_CLUSTERS = ("MOVED ", "ASK ", "CROSSSLOT ", "CLUSTERDOWN ", "TRYAGAIN ")


class ServerError(RotaError):
    """Raised for a server that cannot be used: change what the sentence names.

    `transient` says that the fault may pass by itself, as a restart does.
    """

    def __init__(self, sentence: str, transient: bool = False) -> None:
        super().__init__(sentence, transient)
        self.transient = transient

    def __str__(self) -> str:
        return str(self.args[0])


class explained:
    """Raise ServerError for a fault of the server behind `redis` inside the block, with the fault as its cause.

    It is a class because every call to Redis has such a block: with `contextlib` it took 3.1 µs, and takes 0.4.
    """

    __slots__ = ("_redis",)

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, FAULTS):
            raise fault_at_work(error, self._redis) from error


def fault_at_work(error: BaseException, redis: Any) -> ServerError:
    """Return the sentence for one of `FAULTS`, met by a later command on the client `redis`."""
    target = target_of(redis.connection_pool)
    if not isinstance(error, redis_faults.ResponseError):
        return explain(error, target)
    code = str(error).partition(" ")[0][:40]
    other = f"refuses a command ({code if code.isupper() else 'ERR'}): look at its log"
    refused = _refused(error)
    sentence = f"refuses {refused} to this user: {ACL}" if refused else other
    return _reply(error, target) or ServerError(f"{target} {sentence}")


def explain(error: BaseException, target: RedisTarget) -> ServerError:
    """Return the sentence for `error`, met at the first command to `target`. Any odd answer means: not a Redis."""
    for look in (_sentinels, _reply, _tls, _network):
        for one in chain(error):
            found = look(one, target)
            if found:
                return found
    if isinstance(error, redis_faults.ResponseError):
        return ServerError(f"{target} {NOT_REDIS}")
    return ServerError(f"{target} cannot be used ({type(error).__name__}): {_PLACE}")


def command_refused(answer: object) -> str | None:
    """Return the command that Redis, or the user's rights, do not have, if `answer` says so; else None.

    Redis 6 does not name a command that a script calls.
    """
    text = str(answer) if isinstance(answer, redis_faults.ResponseError | str) else ""
    for pattern, suffix in ((_DENIED, ""), (_UNKNOWN, " (disabled)")):
        if found := pattern.search(text):
            return found[1].upper().replace("|", " ") + suffix
    return OF_A_SCRIPT if "can't run this command" in text or "Unknown Redis command" in text else None


def is_key_refused(answer: object) -> bool:
    """Tell whether Redis says that this user may not touch a key."""
    return bool(re.search(r"access (a|one of the|at least one of the) keys?\b", str(answer)))


def is_channel_refused(answer: object) -> bool:
    """Tell whether Redis says that this user may not listen to a channel."""
    return bool(re.search(r"access (a|one of the|at least one of the) channels?\b", str(answer)))


def _refused(error: BaseException) -> str | None:
    if not isinstance(error, redis_faults.ResponseError):
        return None
    if command := command_refused(error):
        return f"the command {command}"
    if is_key_refused(error):
        return "a key"
    if is_channel_refused(error):
        return "a channel"
    return "a command" if isinstance(error, redis_faults.NoPermissionError) else None


def no_cluster(target: RedisTarget) -> ServerError:
    """Return the error for a Redis Cluster, on which rota does not run."""
    why = "rota's scripts touch several slots"
    return ServerError(f"{target} is a Redis Cluster, and {why}: use a single server or Sentinel")


def _matches(error: BaseException, mark: type[Exception] | str) -> bool:
    return isinstance(error, mark) if isinstance(mark, type) else mark in str(error)


def _sentinels(error: BaseException, target: RedisTarget) -> ServerError | None:
    if not isinstance(error, MasterNotFoundError):
        return None
    # redis-py passes over a sentinel that refuses it, and keeps the reason in the text alone.
    if "AuthenticationError" in str(error):
        return ServerError(f"the sentinels of {target} ask for another password: set REDIS_SENTINEL_PASSWORD")
    why = "start them, or correct REDIS_SENTINELS and REDIS_SENTINEL_MASTER (or REDIS_URL)"
    return ServerError(f"no sentinel of {target} knows a running master of that name: {why}", transient=True)


def _reply(error: BaseException, target: RedisTarget) -> ServerError | None:
    if not isinstance(error, redis_faults.RedisError):
        return None
    # A pipeline puts its command before the answer.
    text = str(error).rpartition("of pipeline caused error: ")[2].lstrip("('\"")
    for state, sentence in _STATES:
        if isinstance(error, state) if isinstance(state, type) else state in text:
            return ServerError(f"{target} {sentence}", transient=True)
    for mark, sentence, transient in _replies(target, error):
        if _matches(error, mark):
            return ServerError(f"{target} {sentence}", transient)
    return no_cluster(target) if "cluster mode" in text or text.startswith(_OF_CLUSTERS) else None


def _replies(target: RedisTarget, error: BaseException) -> Iterator[tuple[str | type[Exception], str, bool]]:
    """Yield the kinds of answers, the first match first: mark, sentence, and whether the fault may pass by itself."""
    unwanted = f"has no password set, but one is sent: {_LOGIN}"
    yield from ((mark, unwanted, False) for mark in ("without any password", "no password is set"))
    if target.password is None:
        yield redis_faults.AuthenticationError, f"asks for a password: {_LOGIN}", False
    yield redis_faults.AuthenticationError, f"refuses this user or password: {_LOGIN}", False
    yield redis_faults.NoPermissionError, f"refuses {_refused(error)} to this user: {ACL}", False
    yield "DB index", f"has no database {target.db}: choose a lower one in REDIS_URL (or REDIS_DB)", False
    # A Sentinel has no databases.
    yield "nknown command 'SELECT'", SENTINEL, False
    yield "nknown command 'select'", SENTINEL, False
    yield "DENIED", f"is in protected mode and refuses other machines: {_PROTECTED}", False
    yield redis_faults.BusyLoadingError, LOADING, True
    yield "is now a slave", REPLICA, True
    yield "max number of clients", "has no room for another client: raise its maxclients", True
    yield r"\x15", f"speaks TLS: {_USE_TLS}", False
    yield redis_faults.InvalidResponse, NOT_REDIS, False
    yield "health check", NOT_REDIS, False


def _tls(error: BaseException, target: RedisTarget) -> ServerError | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"shows a certificate that cannot be trusted ({error.verify_message})"
        return ServerError(f"{target} {why}: set REDIS_SSL_CA_CERTS, and use the host name that it carries")
    if isinstance(error, FileNotFoundError) and target.tls:
        return ServerError(f"a certificate file for {target} is not there: correct the REDIS_SSL_ variables")
    if not isinstance(error, ssl.SSLError):
        return None
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"):
        return ServerError(f"{target} speaks no TLS: {_NO_TLS}")
    return ServerError(f"TLS with {target} fails ({error.reason}): correct the REDIS_SSL_ variables")


def _network(error: BaseException, target: RedisTarget) -> ServerError | None:
    for kinds, sentence in _network_faults(target):
        if isinstance(error, kinds):
            return ServerError(f"{target} {sentence}", transient=kinds is not PermissionError)
    if "Connect call failed" in str(error):
        # redis-py keeps of a refusal the text alone, where the connection that it replaces was closed just before.
        return ServerError(f"{target} is not listening: {_PLACE}", transient=True)
    if "closed by server" in str(error):
        return ServerError(f"{target} {_closes(target)}", transient=True)
    if isinstance(error, OSError):
        return ServerError(f"{target} cannot be reached ({error.strerror}): {_PLACE}", transient=True)
    return None


def _network_faults(
    target: RedisTarget,
) -> Iterator[tuple[type[Exception] | tuple[type[Exception], ...], str]]:
    yield PermissionError, "may not be opened by this user: change the permissions of the socket"
    yield socket.gaierror, f"has a host name that nobody knows: {_PLACE}"
    yield (ConnectionRefusedError, FileNotFoundError), f"is not listening: {_PLACE}"
    hint = f"if it speaks no TLS, {_NO_TLS}" if target.tls else _PLACE
    yield (redis_faults.TimeoutError, TimeoutError), f"does not answer in time: {hint}"
    yield (ConnectionResetError, BrokenPipeError), _closes(target)


def _closes(target: RedisTarget) -> str:
    certificate = "set REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE if it asks for a certificate"
    hint = certificate if target.tls else f"if it speaks TLS, {_USE_TLS}"
    return f"closes the connection: {hint}"
