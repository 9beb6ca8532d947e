"""axe-core, which looks for what keeps people from using a page: fetched by `scripts/vendor.py`, for tests alone."""

import json
from pathlib import Path
from typing import Any

from scripts.vendor import content
from tests.browser.chromium import Tab

#: Of WCAG 2.2 the levels A and AA, and what axe-core recommends beside.
_OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}


async def findings(tab: Tab) -> list[str]:
    """Return what axe-core finds on the page of a tab: the rule, and the elements that break it."""
    if not await tab.value("typeof axe === 'object'"):
        await tab.value(content(Path(__file__).parent / "axe.min.js.gz").decode() + ";0")
    script = f"axe.run(document, {json.dumps(_OPTIONS)}).then(found => found.violations)"
    found: list[dict[str, Any]] = await tab.value(script)
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]} {node['failureSummary'].splitlines()[-1].strip()}"
        for one in found
        for node in one["nodes"][:3]
    ]
