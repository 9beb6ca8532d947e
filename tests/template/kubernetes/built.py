"""What is deployed: built by kubectl's own kustomize, in a copy of the manifests that has secrets as the guide says.

Components are taken in as a user does: their lines in the overlay are no comments any more.
"""

import functools
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
KUBECTL = str(Path(sysconfig.get_path("scripts")) / "kubectl")
REDIS_URL = "rediss://rota:PASSWORD@redis.example.com:6380/0"
SECRETS = {
    "REDIS_URL": REDIS_URL,
    "SMTP_PASSWORD": "ab$cd",
    "DATABASE_URL": "postgresql://rota:secret@db.example.com:5432/rota",
    "API_KEYS": "fsmFFhAn:cc68854167e19f17d2cb970193aeb20074cca7addf6011d174cdba6005112e3a:admin",
}
SCALERS = ("keda-prometheus", "keda-metrics-api", "hpa")
#: What the overlay of production leaves out until its lines are no comments any more, beside the scalers.
OPTIONS = ("ingress.yaml", "reports", "../../components/postgres", "name: rota-app", "name: rota-postgres")
Resource = dict[str, Any]
#: The ways to deploy: by their overlay, and the options that are taken in.
WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "example": ("example", ()),
    "production": ("production", ()),
    **{name: ("production", (*OPTIONS, f"../../components/{name}")) for name in SCALERS},
}


def with_secrets(to: Path, **changed: str) -> Path:
    """Copy the manifests to a folder and write the secrets of production there, some changed; return the copy."""
    copy = to / "kubernetes"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    secrets = copy / "overlays" / "production" / "secrets"
    secrets.mkdir()
    for name, value in (SECRETS | changed).items():
        (secrets / name).write_text(value, "utf-8")
    return copy


def take_in(kustomization: Path, options: tuple[str, ...]) -> None:
    """Make the lines of a kustomization that name these options, and those that belong to them, no comments."""
    text = kustomization.read_text("utf-8")
    for option in options:
        text, times = re.subn(rf"(?m)^  # - {re.escape(option)}$(\n  #   )?", _without_mark, text)
        assert times == 1, f"{option} is not among the lines of {kustomization}"
    kustomization.write_text(text, "utf-8")


def _without_mark(match: re.Match[str]) -> str:
    return match[0].replace("  # - ", "  - ", 1).replace("  #   ", "    ")


def build(folder: Path) -> list[Resource]:
    """Return what a kustomization deploys."""
    ran = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return list(yaml.load_all(ran.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@functools.cache
def way(name: str, *more: str) -> tuple[Resource, ...]:
    """Return what is deployed in one of the ways, with more options."""
    overlay, options = WAYS[name]
    with tempfile.TemporaryDirectory() as folder:
        copy = with_secrets(Path(folder)) / "overlays" / overlay
        take_in(copy / "kustomization.yaml", (*options, *more))
        return tuple(build(copy))


def named(built: tuple[Resource, ...], kind: str, name: str) -> Resource:
    """Return the one resource of a kind and name."""
    (found,) = (one for one in built if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod(deployment: Resource) -> Resource:
    """Return the spec of the pods that a Deployment or the like makes."""
    return dict(deployment["spec"]["template"]["spec"])


def container(deployment: Resource) -> Resource:
    """Return the only container of the pods of a Deployment or the like."""
    (only,) = pod(deployment)["containers"]
    return dict(only)


def environment(built: tuple[Resource, ...], deployment: Resource) -> dict[str, str]:
    """Return the variables that a container is given: those of its ConfigMap, and its own, which win."""
    one = container(deployment)
    maps = [named(built, "ConfigMap", source["configMapRef"]["name"])["data"] for source in one["envFrom"]]
    own = {variable["name"]: variable["value"] for variable in one["env"]}
    return {name: value for values in (*maps, own) for name, value in values.items()}


def of_rota(built: tuple[Resource, ...]) -> dict[str, Resource]:
    """Return the Deployments of rota's own image, by their names."""
    return {one["metadata"]["name"]: one for one in built if one["kind"] == "Deployment"}


def secrets_of(deployment: Resource) -> set[str]:
    """Return the names of the Secrets that reach the pods of a Deployment."""
    (volume,) = (one["projected"] for one in pod(deployment)["volumes"] if one["name"] == "secrets")
    return {source["secret"]["name"] for source in volume["sources"]}


def plain(name: str) -> str:
    """Return the name of a generated Secret without its hash."""
    return re.sub(r"-[a-z0-9]{10}$", "", name)
