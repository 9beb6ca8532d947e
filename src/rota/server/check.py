"""Reads a server's INFO: whether rota can work on it, and whether it is set up to keep jobs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from rota.server.clones import target_of
from rota.server.faults import FULL, LOADING, NOT_REDIS, REPLICA, SENTINEL, ServerError, explain, no_cluster
from rota.server.target import RedisTarget

OLDEST = (6, 2)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server that rota can work on; `warnings` are sentences about settings that it should have otherwise."""

    version: str
    is_valkey: bool
    maxmemory_policy: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Memory in bytes (`memory_max` 0: no limit), keys evicted since the start, and each check of the set-up.

    `checks`: `maxmemory_policy` is noeviction; `persistence`: there is an append-only file; `maxmemory`: there is a
    limit, so that a full Redis refuses jobs before the kernel ends it; `version`. A check whose line the server's INFO
    lacks is left out.
    """

    memory_used: int
    memory_max: int
    evicted: int
    checks: dict[str, bool]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """Return the facts that are in the answer to INFO."""
        checks = {"version": _is_new_enough(info)}
        if "maxmemory_policy" in info:
            checks["maxmemory_policy"] = info["maxmemory_policy"] == "noeviction"
        if "aof_enabled" in info:
            checks["persistence"] = bool(info["aof_enabled"])
        if "maxmemory" in info:
            checks["maxmemory"] = int(info["maxmemory"]) > 0
        return cls(
            int(info.get("used_memory") or 0),
            int(info.get("maxmemory") or 0),
            int(info.get("evicted_keys") or 0),
            checks,
        )


async def check_server(client: Redis) -> ServerInfo:
    """Ask the server behind `client` for its INFO. Raises ServerError, saying what to change, if rota cannot use it."""
    target = target_of(client.connection_pool)
    try:
        info = await client.info()
    except (RedisError, OSError, TimeoutError) as error:
        raise explain(error, target) from None
    except (AttributeError, TypeError, ValueError):
        # redis-py parses the answer; another kind of server may answer with another type.
        raise ServerError(f"{target} {NOT_REDIS}") from None
    refusal = _refusal(info, target)
    if refusal:
        raise refusal
    return usable(info)


def _refusal(info: Mapping[str, Any], target: RedisTarget) -> ServerError | None:
    if not _version(info)[0]:
        return ServerError(f"{target} {NOT_REDIS}")
    if info.get("cluster_enabled") == 1 or _mode(info) == "cluster":
        return no_cluster(target)
    if info.get("loading") == 1:
        return ServerError(f"{target} {LOADING}", transient=True)
    if info.get("role") == "slave":
        # Sentinel may name a server that is just about to become the master.
        return ServerError(f"{target} {REPLICA}", transient=bool(target.sentinels))
    unfit = _unfit(info)
    return ServerError(f"{target} {unfit}") if unfit else None


def _unfit(info: Mapping[str, Any]) -> str | None:
    version, _ = _version(info)
    if _mode(info) == "sentinel":
        return SENTINEL
    if not _is_new_enough(info):
        return f"runs Redis {version}: use Redis {'.'.join(map(str, OLDEST))} or later, or Valkey"
    return None


def _is_new_enough(info: Mapping[str, Any]) -> bool:
    """Tell whether the server has all the commands that rota sends; every Valkey has."""
    version, is_valkey = _version(info)
    return is_valkey or _numbers(version) >= OLDEST


def _mode(info: Mapping[str, Any]) -> object:
    return info.get("server_mode") or info.get("redis_mode")


def _version(info: Mapping[str, Any]) -> tuple[str, bool]:
    valkey = info.get("valkey_version")
    return str(valkey or info.get("redis_version") or ""), bool(valkey)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _is_full(info: Mapping[str, Any]) -> bool:
    limit = int(info.get("maxmemory") or 0)
    counted = int(info.get("used_memory") or 0) - int(info.get("mem_not_counted_for_evict") or 0)
    return info.get("maxmemory_policy") == "noeviction" and 0 < limit <= counted


def usable(info: Mapping[str, Any]) -> ServerInfo:
    """Return what INFO says of a server that is fit, and what it should have otherwise."""
    version, is_valkey = _version(info)
    policy = str(info.get("maxmemory_policy") or "")
    warnings = []
    if policy not in ("", "noeviction"):
        warnings.append(f"maxmemory-policy is {policy}: a full Redis throws jobs away; set it to noeviction")
    if _is_full(info):
        warnings.append(FULL)
    return ServerInfo(version, is_valkey, policy, tuple(warnings))
