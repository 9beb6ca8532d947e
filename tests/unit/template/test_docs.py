"""What the site of the documents is made of: every page has its place, and every name that is imported is described.

The site itself is built and looked at by `tests/template/test_docs_site.py`.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rota
from scripts.docs import moved, name_of
from scripts.reference import GROUPS

ROOT = Path(__file__).parents[3]
NAV = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]


def pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages(part)


def test_every_page_of_the_documents_is_in_the_navigation_once() -> None:
    listed = [page for page in pages(NAV) if page.startswith("docs/")]
    assert sorted(listed) == sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))


def test_every_name_that_is_imported_from_rota_is_in_the_reference_once() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(rota.__all__)


def test_links_lead_to_where_files_are_on_the_site(tmp_path: Path) -> None:
    text, linked = moved(ROOT / "README.md")
    assert "[`.env.example`](env.example.txt)" in text
    assert "[docs/jobs.md](docs/jobs.md)" in text
    assert {ROOT / ".env.example", ROOT / "docs" / "jobs.md"} <= set(linked)
    assert name_of(ROOT / "deploy" / "kubernetes" / "README.md") == Path("deploy/kubernetes/index.md")
