"""Fetches the files of others that the dashboard serves, by name, version and hash, with their licence.

    python scripts/vendor.py

needs npm. A test compares what lies in the folder with what is written here.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "rota" / "api" / "pages" / "static"
PACKAGE, HASH = "htmx.org@4.0.1", "5fba65616ca148a86d377e9771bcada7f35faee3558651feb929eea425e13b3c"
#: The files of the package that are served, and what each is called here, with the hash of each.
FILES = {
    "dist/htmx.min.js": (
        "htmx.min.js",
        "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    ),
    "dist/ext/hx-sse.min.js": (
        "hx-sse.min.js",
        "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
    ),
    "LICENSE": ("htmx.LICENSE", "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38"),
}


def main() -> int:
    """Write the files. Return 1 where the package is not the one that its hash says."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", PACKAGE, "--silent"],  # noqa: S607 - the one on the PATH
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        raw = Path(folder, packed.stdout.strip()).read_bytes()
    if hashlib.sha256(raw).hexdigest() != HASH:
        sys.stderr.write(f"{PACKAGE} is not the package that was looked at: its hash is another\n")
        return 1
    with tarfile.open(fileobj=io.BytesIO(raw)) as package:
        for path, (name, _) in FILES.items():
            found = package.extractfile(f"package/{path}")
            if found is None:
                sys.stderr.write(f"{PACKAGE} has no {path}\n")
                return 1
            (FOLDER / name).write_bytes(found.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
