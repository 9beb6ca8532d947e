"""Writes what is in the image as a CycloneDX document, on its output: Python packages, the engine, and the base's.

    python sbom.py VERSION REPORT LISTED

VERSION is that of the image, REPORT what pip says that it installed, LISTED what `cyclonedx-py environment` found.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def hashes(report: dict[str, Any]) -> dict[str, str]:
    """Return the hash of each wheel that pip installed, by the name of its package."""
    return {
        one["metadata"]["name"].lower(): one["download_info"]["archive_info"]["hashes"]["sha256"]
        for one in report["install"]
    }


def of_the_base() -> Iterator[dict[str, Any]]:
    """Yield the packages of the base's system."""
    command = ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}\n"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    for line in shown.stdout.splitlines():
        name, version, architecture = line.split()
        purl = f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}?arch={architecture}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main() -> None:
    """Put what was found together, and write it if it is valid."""
    version, report, listed = sys.argv[1], *(json.loads(Path(name).read_text()) for name in sys.argv[2:])
    known = hashes(report)
    for component in listed["components"]:
        if digest := known.get(component["name"].lower()):
            component["hashes"] = [{"alg": "SHA-256", "content": digest}]
        # The index that a package was fetched from is left out.
        component.pop("externalReferences", None)
    python = {"type": "platform", "name": "python", "version": sys.version.split()[0]}
    listed["components"] += [python, *of_the_base()]
    listed["metadata"]["component"] = {
        "type": "container",
        "bom-ref": "image",
        "name": "worker",
        "version": version,
    }
    text = json.dumps(listed, indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.from_version(listed["specVersion"])).validate_str(text):
        sys.exit(f"the list is not as CycloneDX wants it: {wrong}")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
