"""The trace and the tenant that a job belongs to, read from the headers in its payload."""

import re
from collections.abc import Mapping

from rota.names import is_tenant

#: The headers that say which trace a job belongs to.
TRACE_HEADERS = ("traceparent", "tracestate", "sentry-trace", "baggage")

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
_SENTRY_TRACE = re.compile(r"([0-9a-f]{32})-[0-9a-f]{16}(?:-[01]?)?", re.ASCII)
_NONE = "0" * 32
#: The header that names the tenant which a job belongs to.
TENANT = "tenant"
_TENANT_LIMIT = 100


def trace_id(headers: Mapping[str, str]) -> str:
    """Return the id of the trace in `headers` (W3C's `traceparent`, else `sentry-trace`): 32 hexadecimal digits.

    Empty without a trace or when the header is malformed: anyone can write a payload, and only an id may reach a log.
    """
    for header, form in (("traceparent", _TRACEPARENT), ("sentry-trace", _SENTRY_TRACE)):
        found = form.fullmatch(headers.get(header, "").strip().lower())
        if found and found[1] != _NONE:
            return found[1]
    return ""


def sentry_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return `headers` with a `sentry-trace` for Sentry, made from `traceparent` if another tracer enqueued the job."""
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip().lower())
    if "sentry-trace" in headers or not found:
        return dict(headers)
    _, trace, span, flags, *_ = found[0].split("-")
    return {**headers, "sentry-trace": f"{trace}-{span}-{int(flags, 16) & 1}"}


def tenant(headers: Mapping[str, str]) -> str:
    """Return the header `tenant`, cut to 100 characters; empty when there is none."""
    return headers.get("tenant", "")[:_TENANT_LIMIT]


def tenant_of(headers: Mapping[str, str]) -> str | None:
    """Return the tenant that a job with these headers belongs to; None for no tenant, or what cannot be one's name."""
    name = headers.get(TENANT)
    return name if is_tenant(name) else None


def renewed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Merge the headers `now` into those of `before`; a trace in `now` replaces all headers of the other trace."""
    if any(name in now for name in TRACE_HEADERS):
        before = {name: text for name, text in before.items() if name not in TRACE_HEADERS}
    return {**before, **now}


def log_fields(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that make a log line findable, `trace_id` and `tenant`, if `headers` have them."""
    if not headers:
        return {}
    fields = {"trace_id": trace_id(headers), "tenant": tenant(headers)}
    return {name: value for name, value in fields.items() if value}
