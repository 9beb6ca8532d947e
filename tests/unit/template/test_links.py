"""Links of the documents lead somewhere: to a file that is there, and where they name a heading, to one that it has."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[3]
#: Folders of others, and of what is made here.
PASSED_OVER = {".venv", ".git", "site", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not PASSED_OVER & set(path.relative_to(ROOT).parts) and path.is_file()
)
#: A page longer than this answers more than one question.
LONGEST_PAGE = 350


def prose(page: Path) -> str:
    """Return a page without its code, in which brackets are no links."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    return re.sub(r"`[^`\n]*`", lambda found: found[0].replace("[", "("), text)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the headings of a page as they stand in addresses, on GitHub as on the site."""
    headings = re.findall(r"(?m)^#{1,6} (.+)$", re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8")))
    shown = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in shown)


def links(page: Path) -> list[str]:
    return [
        link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if not re.match(r"[a-z][a-z+.-]*:", link)
    ]


def test_there_are_pages_and_links_to_look_at() -> None:
    assert {"README.md", "ARCHITECTURE.md", "jobs.md"} <= {page.name for page in PAGES}
    assert sum(len(links(page)) for page in PAGES) > 150
    assert "what-jobs-die-of" in anchors(ROOT / "docs" / "retries.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in links(page):
        file, _, heading = unquote(link).partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link} leads to no file"
        if heading:
            assert target.suffix != ".md" or heading in anchors(target), (
                f"{page.name}: {link} leads to no heading"
            )


def test_a_page_is_no_longer_than_a_reader_looks_through() -> None:
    lengths = {page.name: len(page.read_text("utf-8").splitlines()) for page in (ROOT / "docs").glob("*.md")}
    assert {name: length for name, length in lengths.items() if length > LONGEST_PAGE} == {}
