"""The build where the public index is out of reach: a mirror with a password and its own certificate, or no network."""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.conftest import Images
from tests.container.containers import inside
from tests.container.engine import Engine

MIRROR = Path(__file__).with_name("mirror.py")
PASSWORD = f"canary-{secrets.token_hex(8)}"
#: As the engine's default network calls it, by an address that the build is told.
NAME = "mirror.example"

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes the certificate, is not installed"
)


@dataclass(frozen=True)
class Mirror:
    """An index that runs in a container, and the options by which a build trusts it."""

    engine: Engine
    container: str
    certificate: Path

    @property
    def options(self) -> tuple[str, ...]:
        form = "{{.NetworkSettings.IPAddress}}"
        address = self.engine.docker("inspect", "--format", form, self.container)
        # Or a layer of an earlier build would be taken, for which nothing is fetched.
        fresh = ("--no-cache-filter", "dependencies")
        return ("--add-host", f"{NAME}:{address}", "--secret", f"id=ca.pem,src={self.certificate}", *fresh)

    def asked_for(self) -> set[str]:
        """Return the paths that were answered."""
        return set(self.engine.docker("logs", self.container).splitlines())


@pytest.fixture(scope="module")
def wheels(engine: Engine, image: str, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the wheels of a checkout, as the guide says."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    target = ("--target", "wheels", "--output", str(folder))
    engine.docker("build", "--file", "Dockerfile.worker", *target, ".", cwd=checkout, timeout=600)
    return folder


@pytest.fixture(scope="module")
def mirror(
    engine: Engine, image: str, wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mirror]:
    folder = tmp_path_factory.mktemp("mirror")
    both, certificate = folder / "both.pem", folder / "ca.pem"
    made = f"-newkey rsa:2048 -nodes -days 2 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
    files = f"-keyout {folder}/key.pem -out {certificate}"
    subprocess.run(
        ["openssl", "req", "-x509", *made.split(), *files.split()], capture_output=True, check=True
    )
    both.write_text(certificate.read_text() + (folder / "key.pem").read_text())
    shutil.copytree(wheels, folder / "wheels")
    shutil.copy(MIRROR, folder / "mirror.py")
    serve = ("python", "/mirror/mirror.py", "/mirror/wheels", "/mirror/both.pem", "team", PASSWORD)
    container = engine.docker("create", "--user", "0", image, *serve)
    try:
        engine.docker("cp", f"{folder}/.", f"{container}:/mirror")
        engine.docker("start", container)
        yield Mirror(engine, container, certificate)
    finally:
        engine.docker("rm", "--force", container)


def test_mirrors_are_used_and_the_image_has_nothing_of_their_password_and_certificate(
    mirror: Mirror, images: Images, checkout: Path, wheels: Path, tmp_path: Path
) -> None:
    """Build by an open mirror in an argument, and one in a secret with a password; each has half of the wheels."""
    secret = tmp_path / "pip.conf"
    secret.write_text(f"[global]\nextra-index-url = https://team:{PASSWORD}@{NAME}/simple\n")
    told = (
        "--build-arg",
        f"PIP_INDEX_URL=https://{NAME}/open/simple",
        "--secret",
        f"id=pip.conf,src={secret}",
    )
    built = images.build(checkout, *told, *mirror.options)
    halves = {
        f"{'' if wheel.name.lower() >= 'n' else '/open'}/wheels/{wheel.name}" for wheel in wheels.iterdir()
    }
    assert halves <= mirror.asked_for()
    engine = mirror.engine
    shown = engine.docker("history", "--no-trunc", built) + engine.docker("inspect", built)
    assert PASSWORD not in shown
    places = ("/app", "/etc", "/home", "/root", "/tmp", "/usr", "/var", "/venv")
    search = ("grep", "-rlE", f"{PASSWORD}|{NAME}", *places)
    assert engine.ran("run", "--rm", "--user", "0", built, *search).stdout == ""


def test_wheels_that_were_fetched_before_are_all_that_a_build_without_a_network_needs(
    engine: Engine, images: Images, image: str, checkout: Path, wheels: Path
) -> None:
    fresh = ("--no-cache-filter", "dependencies,code", "--network", "none")
    built = images.build(checkout, "--build-context", f"wheelhouse={wheels}", *fresh)
    listed = (
        "import importlib.metadata as m; print(sorted(f'{d.name} {d.version}' for d in m.distributions()))"
    )
    assert inside(engine, built, listed) == inside(engine, image, listed)
