"""Fetches the files of others that the dashboard serves or is tested by, by name, version and hash, with their licence.

    python scripts/vendor.py

needs npm. A test compares what lies in the folders with what is written here.
"""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Package:
    """A package of npm, of which some files are kept here.

    :param sha256: of the package as it is fetched.
    :param files: by its path in the package, what each file is called here, and the hash of what is in it.
    """

    name: str
    sha256: str
    folder: Path
    files: dict[str, tuple[str, str]]


PACKAGES = (
    Package(
        "htmx.org@4.0.1",
        "5fba65616ca148a86d377e9771bcada7f35faee3558651feb929eea425e13b3c",
        ROOT / "src" / "rota" / "api" / "pages" / "static",
        {
            "dist/htmx.min.js": (
                "htmx.min.js",
                "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
            ),
            "dist/ext/hx-sse.min.js": (
                "hx-sse.min.js",
                "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
            ),
            "LICENSE": ("htmx.LICENSE", "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38"),
        },
    ),
    # Of tests alone; compressed, as it is twenty times as large as all that is served.
    Package(
        "axe-core@4.14.1",
        "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
        ROOT / "tests" / "browser" / "axe",
        {
            "axe.min.js": (
                "axe.min.js.gz",
                "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
            ),
            "LICENSE": ("axe.LICENSE", "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e"),
            "LICENSE-3RD-PARTY.txt": (
                "axe.3RD-PARTY.txt",
                "4f8563870d0fca38bbc3e00b6f670cb7fa9f380ba9f26a7f7d1184a6b18b1653",
            ),
        },
    ),
)


def content(path: Path) -> bytes:
    """Return what is in a file that is kept here."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def main() -> int:
    """Write the files. Return 1 where a package is not the one that its hash says."""
    return max(map(_fetch, PACKAGES))


def _fetch(package: Package) -> int:
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", package.name, "--silent"],  # noqa: S607 - the one on the PATH
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        raw = Path(folder, packed.stdout.strip()).read_bytes()
    if hashlib.sha256(raw).hexdigest() != package.sha256:
        sys.stderr.write(f"{package.name} is not the package that was looked at: its hash is another\n")
        return 1
    package.folder.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(raw)) as packed_files:
        for path, (name, _) in package.files.items():
            found = packed_files.extractfile(f"package/{path}")
            if found is None:
                sys.stderr.write(f"{package.name} has no {path}\n")
                return 1
            read = found.read()
            kept = gzip.compress(read, mtime=0) if name.endswith(".gz") else read
            (package.folder / name).write_bytes(kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
