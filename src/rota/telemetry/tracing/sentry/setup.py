"""Sets Sentry up for a worker so that neither payloads nor secrets leave it, and ends it in time."""

import contextlib
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from rota.process.ports import is_loopback
from rota.settings.settings import ConfigError, Settings
from rota.telemetry.tracing.sentry.failure import FailureReporter
from rota.telemetry.tracing.sentry.scrub import Scrubber
from rota.telemetry.tracing.sentry.sdk import prepare, sdk

#: Events that are unsent when the process ends are given up after this, in seconds.
FLUSH = 1.5

_DEFAULTS: dict[str, Any] = {
    "include_local_variables": False,
    "max_request_body_size": "never",
    "auto_session_tracking": False,
    "in_app_exclude": ["rota", "arq"],
    "shutdown_timeout": FLUSH,
}


def start(settings: Settings, **options: Any) -> bool:
    """Set Sentry up if there is a SENTRY_DSN and the program has not set Sentry up itself; tell whether that was done.

    `options` go to `sentry_sdk.init`. Raises ConfigError where the package is missing or the DSN is malformed.
    """
    if settings.sentry_dsn is None or sdk() is not None:
        return False
    try:
        import sentry_sdk  # noqa: PLC0415 - an extra
        from sentry_sdk.utils import BadDsn  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            ["SENTRY_DSN is set, but sentry-sdk is not installed; install rota[sentry] or unset it"]
        ) from None
    try:
        dsn = settings.sentry_dsn.get_secret_value()
        sentry_sdk.init(dsn, **{**_DEFAULTS, **_proxies(dsn), **_options(settings), **options})
    except BadDsn:
        raise ConfigError(["SENTRY_DSN is not a DSN; write https://<key>@<host>/<project>"]) from None
    prepare()
    FailureReporter.reports_retries = settings.sentry_report_retries
    return True


def close() -> None:
    """Send the events that are left, for at most `FLUSH` seconds, and close Sentry: the process is about to end."""
    module = sdk()
    if module is not None:
        module.get_client().close(timeout=FLUSH)


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield the secrets that this process was given, but for the DSN, which Sentry itself must send."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and name != "sentry_dsn":
            yield value.get_secret_value()
    if settings.redis is not None and settings.redis.password:
        yield settings.redis.password


def _proxies(dsn: str) -> dict[str, str]:
    """Return the options that keep what is for this machine away from HTTP_PROXY."""
    with contextlib.suppress(ValueError):  # which Sentry itself finds
        if is_loopback(dsn):
            return {"http_proxy": "", "https_proxy": ""}
    return {}


def _options(settings: Settings) -> dict[str, Any]:
    from sentry_sdk.integrations.argv import ArgvIntegration  # noqa: PLC0415 - an extra
    from sentry_sdk.integrations.arq import ArqIntegration  # noqa: PLC0415
    from sentry_sdk.scrubber import EventScrubber  # noqa: PLC0415

    scrub = Scrubber(secrets_of(settings)).event

    return {
        "environment": settings.sentry_environment,
        "release": settings.sentry_release,
        "traces_sample_rate": settings.sentry_traces_sample_rate,
        # Sentry's arq integration knows only arq's own worker; the command line may hold a payload.
        "disabled_integrations": [ArqIntegration(), ArgvIntegration()],
        "event_scrubber": EventScrubber(recursive=True),
        "before_send": scrub,
        "before_send_transaction": scrub,
    }
