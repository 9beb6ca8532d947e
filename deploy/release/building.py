"""Builds the image of a checkout under a tag of its own, as this host is told to: mirrors, certificates, wheels."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.release.engine import Failed, run
from deploy.release.environment import stated

#: What the build's pip is told as the environment of this host tells it to pip. It stands in the history of the build.
_ARGUMENTS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
#: What may hold a password: files, which no layer and no history of the image has.
_SECRETS = {"PIP_CONFIG_FILE": "pip.conf", "PIP_CERT": "ca.pem"}


@dataclass(frozen=True)
class Revision:
    """A state of the checkout: what its image is tagged with, and the commit that it was made of."""

    tag: str
    commit: str


def revision_of(folder: Path) -> Revision:
    """Tell the revision of a checkout; one with changes, or without git, is named by the time as well."""
    now = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    git = ("git", "-C", str(folder))
    try:
        commit = run(*git, "rev-parse", "HEAD")
        name = run(*git, "describe", "--tags", "--always", "--abbrev=12")
        if run(*git, "status", "--porcelain"):
            name = f"{name}-{now}"
    except Failed:
        return Revision(now, "unknown")
    return Revision(re.sub(r"[^\w.-]", "-", name), commit)


def build(folder: Path, image: str, version: str, commit: str) -> None:
    """Build the image of a checkout under a name; APP_VERSION wins over the version. Raises Failed."""
    run(*_command(folder, version), "--build-arg", f"REVISION={commit}", "--tag", image, str(folder))


def list_contents(folder: Path, version: str) -> None:
    """Write what is in the image of a checkout into it, as CycloneDX: the file sbom.cdx.json. Raises Failed."""
    run(*_command(folder, version), "--target", "sbom", "--output", str(folder), str(folder))


def _command(folder: Path, version: str) -> list[str]:
    told = stated(folder)
    named = ("--build-arg", f"VERSION={told.get('APP_VERSION') or version}")
    return ["docker", "build", "--file", str(folder / "Dockerfile.worker"), *named, *options(told)]


def options(told: Mapping[str, str]) -> Iterator[str]:
    """Yield the options of `docker build` that make its pip do as this host's is told. Raises Failed."""
    for name in _ARGUMENTS:
        if value := told.get(name):
            if re.search(r"//[^/]*@", value):
                raise Failed(
                    f"{name} holds a password, which the build would keep: put the address into a pip.conf, and name "
                    "that by PIP_CONFIG_FILE"
                )
            yield from ("--build-arg", f"{name}={value}")
    for name, secret in _SECRETS.items():
        if path := told.get(name):
            yield from ("--secret", f"id={secret},src={Path(path).expanduser()}")
    if path := told.get("WHEELHOUSE"):
        yield from ("--build-context", f"wheelhouse={Path(path).expanduser()}", "--network", "none")
