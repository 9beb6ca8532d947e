"""Where the page of a job leads outside of the dashboard: to its trace, and to Sentry, by templates of the settings."""

from urllib.parse import quote

from rota.api.pages.screens.jobs.one.reading import Seen
from rota.model.trace import trace_id
from rota.settings.settings import Settings


def links_of(settings: Settings, seen: Seen) -> list[tuple[str, str]]:
    """Return the links of a job, each with its words; none that would lack a value."""
    known = {"trace_id": trace_id(seen.close.headers), "id": seen.close.info.id}
    templates = (("Trace", settings.dashboard_trace_url), ("Sentry", settings.dashboard_sentry_url))
    return [
        (words, _filled(template, known))
        for words, template in templates
        if template and _fits(template, known)
    ]


def _fits(template: str, known: dict[str, str]) -> bool:
    return all(value for name, value in known.items() if f"{{{name}}}" in template)


def _filled(template: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        template = template.replace(f"{{{name}}}", quote(value.encode("utf-8", "surrogateescape"), safe=""))
    return template
