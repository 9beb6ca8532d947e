"""Asks a server, at boot, whether rota can work on it; if not, one sentence says why and what to change."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from rota.server.clones import target_of
from rota.server.faults import FULL, LOADING, NOT_REDIS, REPLICA, ServerError, explain, no_cluster
from rota.server.target import RedisTarget

OLDEST = (6, 2)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a usable server says of itself; `warnings` are sentences about what should be set otherwise."""

    version: str
    is_valkey: bool
    maxmemory_policy: str
    warnings: tuple[str, ...] = ()


async def check_server(client: Redis) -> ServerInfo:
    """What the server behind `client` is; raises ServerError when it cannot be used. One command: INFO."""
    target = target_of(client.connection_pool)
    try:
        facts = await client.info()
    except (RedisError, OSError, TimeoutError) as error:
        raise explain(error, target) from None
    except (AttributeError, TypeError, ValueError):
        # redis-py takes INFO's answer apart; a foreign server's is of another type.
        raise ServerError(f"{target} {NOT_REDIS}") from None
    refusal = _refusal(facts, target)
    if refusal:
        raise refusal
    return _info(facts)


def _refusal(facts: Mapping[str, Any], target: RedisTarget) -> ServerError | None:
    if not _version(facts)[0]:
        return ServerError(f"{target} {NOT_REDIS}")
    if facts.get("cluster_enabled") == 1 or _mode(facts) == "cluster":
        return no_cluster(target)
    if facts.get("loading") == 1:
        return ServerError(f"{target} {LOADING}", transient=True)
    if facts.get("role") == "slave":
        # Sentinel may name a server that is just about to become the master.
        return ServerError(f"{target} {REPLICA}", transient=bool(target.sentinels))
    unfit = _unfit(facts)
    return ServerError(f"{target} {unfit}") if unfit else None


def _unfit(facts: Mapping[str, Any]) -> str | None:
    version, _ = _version(facts)
    if _mode(facts) == "sentinel":
        return "is a Sentinel, not a Redis: write redis+sentinel:// in REDIS_URL, or set REDIS_SENTINELS"
    if not is_new_enough(facts):
        return f"runs Redis {version}: use Redis {'.'.join(map(str, OLDEST))} or later, or Valkey"
    return FULL if _is_full(facts) else None


def is_new_enough(facts: Mapping[str, Any]) -> bool:
    """Whether the server of this INFO has all the commands that rota sends."""
    version, is_valkey = _version(facts)
    return is_valkey or _numbers(version) >= OLDEST


def _mode(facts: Mapping[str, Any]) -> object:
    return facts.get("server_mode") or facts.get("redis_mode")


def _version(facts: Mapping[str, Any]) -> tuple[str, bool]:
    valkey = facts.get("valkey_version")
    return str(valkey or facts.get("redis_version") or ""), bool(valkey)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _is_full(facts: Mapping[str, Any]) -> bool:
    limit = int(facts.get("maxmemory") or 0)
    counted = int(facts.get("used_memory") or 0) - int(facts.get("mem_not_counted_for_evict") or 0)
    return facts.get("maxmemory_policy") == "noeviction" and 0 < limit <= counted


def _info(facts: Mapping[str, Any]) -> ServerInfo:
    version, is_valkey = _version(facts)
    policy = str(facts.get("maxmemory_policy") or "")
    warnings = []
    if policy not in ("", "noeviction"):
        warnings.append(f"maxmemory-policy is {policy}: a full Redis throws jobs away; set it to noeviction")
    return ServerInfo(version, is_valkey, policy, tuple(warnings))
