"""Deploys this checkout on this host, or an image that was built before or elsewhere.

    make deploy                 builds the image of this checkout, and deploys it
    make deploy TAG=1.4.2       deploys an image that is here, or else is pulled: also the way back
    make image                  builds the image, and no more
    make sbom                   writes what is in it, as CycloneDX, into sbom.cdx.json

The image is checked in a container of its own. Then new containers start beside those that run, and when all of them
are healthy the old ones are stopped, which finish what they run. Where anything fails before, the new ones are removed,
and the old ones have never stopped.
"""

import argparse
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.release.building import build, list_contents, revision_of
from deploy.release.engine import FILE, Failed, Project
from deploy.release.environment import read, write
from deploy.release.saying import say, step
from deploy.release.steps import WORKER, fetch, release


def main() -> int:
    """Do what the command line says, and return the exit status."""
    parser = argparse.ArgumentParser(
        "make deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", action="store_true", help="build the image, and deploy nothing")
    parser.add_argument("--sbom", action="store_true", help="write what is in the image, and deploy nothing")
    parser.add_argument("--within", type=float, default=120, help="seconds that a start may take (120)")
    given = parser.parse_args()
    # A deploy goes on when its terminal is gone, and takes back what it did when it is told to end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given.sbom:
            with step("list", "sbom.cdx.json"):
                list_contents(Path.cwd(), os.environ.get("TAG") or revision_of(Path.cwd()).tag)
        elif given.build:
            _build(Path.cwd(), os.environ.get("TAG"))
        else:
            with _only_one(Path(FILE)):
                _deploy(Path.cwd(), os.environ.get("TAG"), given.within)
    except Failed as error:
        say("    " + str(error).replace("\n", "\n    "))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


@contextlib.contextmanager
def _only_one(file: Path) -> Iterator[None]:
    """Hold the lock of deploys, which is on the project's own file. Raises Failed where something else holds it."""
    with file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(
                "another deploy is under way, or the autoscaler is scaling: try again later"
            ) from None
        yield


def _build(folder: Path, tag: str | None) -> str:
    """Build the image of the checkout, under this tag or one of its own, and return the tag. Raises Failed."""
    revision = revision_of(folder)
    tag = tag or revision.tag
    image = Project(folder, tag).services()[WORKER].image
    with step("build", image):
        build(folder, image, tag, revision.commit)
    return tag


def _deploy(folder: Path, tag: str | None, within: float) -> None:
    """Deploy the image of this tag, or that of the checkout. Raises Failed."""
    before = read(folder).get("TAG")
    try:
        tag = tag or _build(folder, None)
        project = Project(folder, tag)
        services = project.services()
        fetch(services[WORKER].image)
        # What `docker compose up`, a restart of the host and the autoscaler go on with.
        runs = {name: os.environ[name] for name in ("IMAGE",) if name in os.environ} | {"TAG": tag}
        release(project, services, within, keep=lambda: write(folder, runs))
    except Failed as error:
        raise Failed(f"{error}\nNothing is deployed: {before or 'what ran before'} runs on.") from None
    back = f"; the way back: make deploy TAG={before}" if before not in (None, tag) else ""
    say(f"{tag} runs{back}")


if __name__ == "__main__":
    sys.exit(main())
