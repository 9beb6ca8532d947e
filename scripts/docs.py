"""Build the site of the documents: the pages as they lie in the repository, and the reference of what is imported.

The pages link to each other, and to files of the repository, as they do where they are read as plain text. So they are
laid out in build/docs/pages as they lie here, with all that they link to, and Zensical, in an environment of its own,
makes build/docs/site of them. What it warns of, such as a link that leads nowhere, ends the build.
"""

import argparse
import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from scripts.reference import reference

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "docs"
PAGES, SITE, ENVIRONMENT = BUILD / "pages", BUILD / "site", BUILD / "env"
LOCK = ROOT / "requirements" / "docs.txt"
PORT = 8001
#: What a browser shows; other files are shown as text.
SHOWN = {".webp", ".png", ".svg", ".md"}
_LINK = re.compile(r"(?<=\]\()(?![a-z][a-z+.-]*:|#)([^)#\s]+)")


def install() -> Path:
    """Return the directory of the commands that build the site, which are installed if they are not there yet."""
    commands, stamp = ENVIRONMENT / "bin", ENVIRONMENT / "stamp"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        sys.stderr.write("installing what builds the site (half a minute, once) …\n")
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        quiet = ("-qq", "--disable-pip-version-check", "--no-input", "--require-hashes")
        subprocess.run([commands / "python", "-m", "pip", "install", *quiet, "-r", LOCK], check=True)
        stamp.write_text(wanted)
    return commands


def lay_out() -> None:
    """Write the pages and what they link to, as they lie in the repository, into the empty folder of pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    waiting = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
    seen = set(waiting)
    for path in waiting:
        target = PAGES / name_of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".md":
            shutil.copyfile(path, target)
            continue
        text, linked = moved(path)
        target.write_text(text, "utf-8")
        waiting += [other for other in linked if other not in seen]
        seen.update(linked)
    for name, text in reference().items():
        target = PAGES / "reference" / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, "utf-8")


def moved(page: Path) -> tuple[str, list[Path]]:
    """Return the text of a page whose links lead to where files are on the site, and the files that it links to."""
    linked: list[Path] = []

    def lead(found: re.Match[str]) -> str:
        path = (page.parent / found[1]).resolve()
        if path.is_dir():
            path /= "README.md"
        if not path.is_file():
            sys.exit(f"{page.relative_to(ROOT)}: {found[1]} leads to no page or file")
        linked.append(path)
        return os.path.relpath(name_of(path), name_of(page).parent)

    # Code, in fences and in lines, is every second part.
    parts = re.split(r"(?ms)(^```.*?^```$|`[^`\n]+`)", page.read_text("utf-8"))
    return "".join(part if code % 2 else _LINK.sub(lead, part) for code, part in enumerate(parts)), linked


def name_of(path: Path) -> Path:
    """Return where a file of the repository is among the pages: a README is the first page of its folder."""
    own = path.relative_to(ROOT)
    if own.name == "README.md":
        return own.with_name("index.md")
    return own if own.suffix in SHOWN else own.with_name(f"{own.name.lstrip('.')}.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", action="store_true", help=f"show the site on port {PORT}, until Ctrl-C")
    arguments = parser.parse_args()
    zensical = install() / "zensical"
    lay_out()
    shutil.rmtree(SITE, ignore_errors=True)
    built = subprocess.run([zensical, "build", "--strict", "--clean"], cwd=ROOT, check=False)
    if built.returncode:
        sys.exit(built.returncode)
    sys.stderr.write(f"the site is in {SITE.relative_to(ROOT)}; its first page is index.html\n")
    if arguments.serve:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SITE)
        sys.stderr.write(f"http://localhost:{PORT} shows it, until Ctrl-C\n")
        http.server.ThreadingHTTPServer(("127.0.0.1", PORT), handler).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
