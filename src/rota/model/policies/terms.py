"""The terms of a job: what the scripts must know of the job beside its payload, as one line of tokens.

wire/lua/lib/terms.lua, which reads the tokens, says what each means.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json, to_jsonable_python

from rota.errors import InvalidPayload
from rota.model.job import Job
from rota.model.policies.limits import Key, RateLimit, SlotLimit
from rota.model.policies.uniqueness import Unique
from rota.names import full_name

_LONGEST = 80
_SAFE = ":@.,~+/"
#: The place of the tenant among the terms.
_TENANT = re.compile(r"(?:^| )t=(\S+)")
_FLOW = re.compile(r"(?:^| )[wf]=([^\s:|]+):flow:")


def terms_of(
    job: Job[Any, Any],
    queue: str,
    arguments: bytes,
    *,
    namespace: str,
    priority: int | None = None,
    home: str | None = None,
) -> str:
    """Return the terms of `job` on `queue` with these arguments (JSON); "" if it has none. Raises InvalidPayload.

    The limits are counted on `home`, the job's own queue, wherever it runs.
    """
    named = _named(job, arguments)
    timed = job.unique is None or job.unique.period_ms > 0  # the time began with the enqueue
    key = "" if timed else unique_key(job, queue, named, namespace)
    return " ".join(_tokens(job, home or queue, named, namespace, priority=priority, key=key))


def terms_and_key(
    job: Job[Any, Any],
    queue: str,
    arguments: bytes,
    *,
    namespace: str,
    priority: int | None = None,
    home: str | None = None,
) -> tuple[str, str]:
    """Return the terms, and `<unique key> <its period, ms>` for the enqueue; "" for a job that is not unique."""
    if job.is_free and not priority and not job.enqueue_options.webhook:
        return "", ""
    named = _named(job, arguments)
    if job.unique is None:
        return " ".join(_tokens(job, home or queue, named, namespace, priority=priority)), ""
    key, period = unique_key(job, queue, named, namespace), job.unique.period_ms
    tokens = _tokens(job, home or queue, named, namespace, priority=priority, key=key)
    return " ".join(tokens), f"{key} {period}"


def have_same_terms(job: Job[Any, Any]) -> bool:
    """Tell whether the arguments of a job do not count for its terms, and it has no unique key."""
    return job.limit is None and job.concurrency is None and job.unique is None


def unique_key(job: Job[Any, Any], queue: str, named: Mapping[str, Any], namespace: str) -> str:
    """Return the key in Redis that a unique job holds. Raises InvalidPayload."""
    key = job.unique.key if job.unique else None
    text = _short(json.dumps(named, sort_keys=True)) if key is None else key_text(job, key, named)
    return f"{namespace}:unique:{full_name(queue, job.first_name)}:{text}"


def limit_key(job: Job[Any, Any], queue: str, namespace: str, limit: RateLimit | SlotLimit) -> str:
    """Return the key in Redis that holds the figures of one of a job's limits."""
    kind = "limit" if isinstance(limit, RateLimit) else "slots"
    return f"{namespace}:{kind}:{limit.name or full_name(queue, job.first_name)}"


def of_tenant(terms: str, unique: str, tenant: str | None) -> tuple[str, str]:
    """Return terms, and the unique key for the enqueue, as a job of `tenant` has them.

    Unique keys are apart by tenant: a "!" stands in none of them, as `_short` escapes it, nor in a tenant's name.
    """
    if tenant is None:
        return terms, unique
    if unique:
        key, _, period = unique.rpartition(" ")
        terms, unique = terms.replace(f"u={key}|", f"u={key}!{tenant}|"), f"{key}!{tenant} {period}"
    return f"{terms} t={tenant}".lstrip(), unique


def tenant_in(terms: str) -> str | None:
    """Return the tenant that these terms name, if they name one."""
    found = _TENANT.search(terms)
    return found[1] if found else None


def without_tenant(terms: str) -> str:
    """Return these terms as of a job of no tenant."""
    return _TENANT.sub("", terms).lstrip()


def is_limited(terms: str) -> bool:
    """Tell whether these terms hold a limit, so that the job may have to wait for other jobs."""
    return terms.startswith(("r=", "c=")) or " r=" in terms or " c=" in terms


def is_member(terms: str) -> bool:
    """Tell whether a job with these terms is a member of a flow, which is told of its end."""
    return terms.startswith("w=") or " w=" in terms


def flow_namespace(terms: str) -> str | None:
    """Return the namespace of the flow that a job is part of, or works for; None for a job of no flow."""
    found = _FLOW.search(terms)
    return found[1] if found else None


def key_text(job: Job[Any, Any], key: Key | None, named: Mapping[str, Any]) -> str:
    """Return the part of a Redis key that stands for the values of `key`; "*" when all jobs share one count.

    Raises InvalidPayload for arguments that lack a part that `key` names.
    """
    if key is None:
        return "*"
    parts = (key,) if isinstance(key, str) else key
    return _short("/".join(_text(_value(job, part, named)) for part in parts))


def _tokens(
    job: Job[Any, Any],
    queue: str,
    named: Mapping[str, Any],
    namespace: str,
    *,
    priority: int | None,
    key: str = "",
) -> Iterator[str]:
    if level := priority if priority is not None else job.priority:
        yield f"p={level}"
    if job.limit is not None:
        limit = limit_key(job, queue, namespace, job.limit)
        figures = f"{job.limit.interval_us}|{job.limit.tolerance_us}"
        yield f"r={limit}|{key_text(job, job.limit.key, named)}|{figures}"
    if job.concurrency is not None:
        limit = limit_key(job, queue, namespace, job.concurrency)
        yield f"c={limit}|{key_text(job, job.concurrency.key, named)}|{job.concurrency.most}"
    if key and job.unique is not None:
        yield _unique(job.unique, key)
    if webhook := job.enqueue_options.webhook:
        yield f"h={webhook}"


def _unique(unique: Unique, key: str) -> str:
    """Return the term of a unique key; the default rule, "existing", is not written down."""
    if unique.period_ms:
        return f"u={key}|0|{unique.on_taken}|{unique.period_ms}"
    until = str(unique.until)[0]
    return f"u={key}|{until}" if unique.on_taken == "existing" else f"u={key}|{until}|{unique.on_taken}"


def _named(job: Job[Any, Any], arguments: bytes) -> dict[str, Any]:
    """Read all arguments, defaults included, for the limits and the unique key; {} for a job that has neither."""
    if have_same_terms(job):
        return {}
    return {**_defaults(job.handler), **from_json(arguments)}


@lru_cache(maxsize=1024)
def _defaults(handler: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(handler).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    found: dict[str, Any] = to_jsonable_python(defaults)
    return found


def _value(job: Job[Any, Any], part: str, named: Mapping[str, Any]) -> Any:
    value: Any = named
    for name in part.split("."):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError):
            raise InvalidPayload(
                job.name, {part: "is missing, and a limit of the job is counted by it"}
            ) from None
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _short(text: str) -> str:
    # Only the beginning of a long text is shown: quoting all of it would take longer than everything else here.
    quoted = quote(text[: _LONGEST + 1], safe=_SAFE)
    if len(quoted) <= _LONGEST:
        return quoted
    return f"{quoted[:32]}~{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
