"""The site of the documents that `make docs` builds: its links lead somewhere, and a browser needs no other host."""

import functools
import http.server
import re
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser.chromium import CHROMIUM, MISSING, browsing

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "docs" / "site"
#: What a browser loads with a page, and not only when a reader follows it.
LOADED = {"script", "img", "iframe", "source", "video", "audio", "embed"}
#: The index of Sphinx's kind, for other sites, is named without being loaded.
LINKS_LOADED = {
    "stylesheet",
    "icon",
    "preload",
    "preconnect",
    "modulepreload",
    "manifest",
    "prefetch",
    "dns-prefetch",
}


class Page(HTMLParser):
    """The addresses of a page: where it leads, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        if tag in LOADED and "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and LINKS_LOADED & set(given.get("rel", "").split()):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    """Build the site, and return its pages."""
    made = subprocess.run(
        ["make", "-o", ".venv/.rota-setup", "docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "No issues found" in made.stderr
    return {path: Page(path.read_text("utf-8")) for path in SITE.rglob("*.html")}


@pytest.mark.timeout(300)
def test_every_link_leads_to_a_file_and_a_place_in_it(pages: dict[Path, Page]) -> None:
    wrong, seen = [], 0
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its links are those of the other pages, as of the top of a site
        for link in {*page.leads, *page.loads}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            seen += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                wrong.append(f"{path.relative_to(SITE)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                wrong.append(f"{path.relative_to(SITE)}: {link}: no such place")
    assert wrong == []
    assert seen > 2000


def test_nothing_is_loaded_from_another_host(pages: dict[Path, Page]) -> None:
    loaded = [link for page in pages.values() for link in page.loads]
    assert [link for link in loaded if urlsplit(link).netloc] == []
    styles = "".join(path.read_text("utf-8") for path in SITE.rglob("*.css"))
    assert styles
    assert re.findall(r"(?:@import\s+|url\()[\"']?(?:https?:)?//[^)]+", styles) == []


def test_every_name_of_the_reference_has_its_description(pages: dict[Path, Page]) -> None:
    reference = pages[SITE / "reference" / "rota.html"]
    assert {"rota.job", "rota.Run.progress", "rota.Client.enqueue_many", "rota.JobExists"} <= reference.places


@pytest.fixture(scope="module")
def served(pages: dict[Path, Page]) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SITE)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_browser_shows_it_in_both_themes_and_on_a_phone(served: str, scheme: str) -> None:
    async with browsing() as tab:
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        await tab.call("Emulation.setEmulatedMedia", features=media)
        await tab.call(
            "Emulation.setDeviceMetricsOverride", width=400, height=850, deviceScaleFactor=1, mobile=True
        )
        theme = {"light": "default", "dark": "slate"}[scheme]
        # Code, long names in tables, and the reference.
        for page in ("docs/limits", "docs/settings", "reference/rota"):
            await tab.open(f"{served}/{page}.html")
            await tab.until(f"document.body.dataset.mdColorScheme === '{theme}'")
            assert await tab.value("document.documentElement.scrollWidth") <= 400, page
        # A browser asks for what a page loads, and for what its styles and scripts load.
        asked = await tab.value("performance.getEntriesByType('resource').map(one => one.name)")
        assert asked
        assert [url for url in asked if not url.startswith((served, "data:"))] == []
        assert tab.errors == []


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
async def test_search_finds_a_page_by_a_word_of_it(served: str) -> None:
    async with browsing() as tab:
        await tab.open(f"{served}/index.html")
        await tab.value("document.querySelector('.md-search__button').click()")
        # The search is a document of its own within the page.
        await tab.until("document.activeElement.shadowRoot?.activeElement?.tagName === 'INPUT'")
        await tab.press(*"debounce")
        found = "[...document.activeElement.shadowRoot.querySelectorAll('a')].map(one => one.href).join()"
        await tab.until(f"{found}.includes('docs/unique-jobs.html?h=debounce')")
