"""Pods as plain containers: what the manifests say of a pod is said to Docker, as a kubelet would say it.

The kubelet's part is played here: variables, files of Secrets, users, limits of rights, the probes, and how a pod is
stopped. Services are names on a network.
"""

import base64
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.container.engine import Engine
from tests.container.stack import wait_until
from tests.template.kubernetes.built import Resource, container, environment, pod

#: Asks a probe's path and port from within the container; ends with 0 on a status of success.
_ASK = """
import http.client, sys
connection = http.client.HTTPConnection("localhost", int(sys.argv[1]), timeout=5)
connection.request("GET", sys.argv[2])
sys.exit(connection.getresponse().status >= 400)
"""


@dataclass(frozen=True)
class Running:
    """A pod that runs as a container on this engine."""

    engine: Engine
    id: str
    described: Resource

    def passes(self, kind: str) -> bool:
        """Ask a probe, and tell whether it succeeds."""
        one = container(self.described)
        probe = one[f"{kind}Probe"]
        if "exec" in probe:
            return not self.engine.ran("exec", self.id, *probe["exec"]["command"]).returncode
        asked = probe["httpGet"]
        (port,) = (port["containerPort"] for port in one["ports"] if port["name"] == asked["port"])
        ran = self.engine.ran("exec", self.id, "python", "-c", _ASK, str(port), asked["path"])
        return not ran.returncode

    def until_ready(self) -> None:
        """Wait until every probe of the pod succeeds."""
        kinds = [
            kind
            for kind in ("startup", "liveness", "readiness")
            if f"{kind}Probe" in container(self.described)
        ]
        name = self.described["metadata"]["name"]
        wait_until(lambda: all(self.passes(kind) for kind in kinds), f"{name} is ready")

    def python(self, code: str, *arguments: str) -> str:
        """Run Python code in the pod, and return what it prints."""
        return self.engine.docker("exec", "--interactive", self.id, "python", "-", *arguments, stdin=code)

    def stop(self) -> int:
        """Stop the pod as a kubelet does, its hook first, and return the exit status; 137 says that it was killed."""
        hook = container(self.described).get("lifecycle", {}).get("preStop")
        if hook:
            self.engine.docker("exec", self.id, *hook["exec"]["command"])
        grace = pod(self.described)["terminationGracePeriodSeconds"]
        self.engine.docker("stop", "--time", str(grace), self.id, timeout=grace + 60)
        return int(self.engine.docker("inspect", "--format", "{{.State.ExitCode}}", self.id))


@dataclass(frozen=True)
class Place:
    """A network on which pods run, and a folder for their files."""

    engine: Engine
    network: str
    files: Path
    image: str

    def start(self, built: tuple[Resource, ...], described: Resource) -> Running:
        """Start the pod of a Deployment or StatefulSet under its name."""
        name, one = described["metadata"]["name"], container(described)
        variables = environment(built, described) if "env" in one else {}
        volumes = {volume["name"]: volume for volume in pod(described).get("volumes", [])}
        options = [
            *_rights(one, pod(described)["securityContext"]),
            *(part for variable in variables.items() for part in ("--env", "=".join(variable))),
            *("--network", self.network, "--network-alias", name),
        ]
        for mount in one["volumeMounts"]:
            options += _mounted(built, mount, volumes.get(mount["name"]), self.files / name)
        chosen = self.image if one["image"].rsplit(":", 1)[0].endswith("rota-worker") else one["image"]
        options += [part for program in one.get("command", []) for part in ("--entrypoint", program)]
        started = self.engine.docker("run", "--detach", "--init", *options, chosen, *one.get("args", []))
        return Running(self.engine, started, described)


def _rights(one: dict[str, Any], context: dict[str, Any]) -> list[str]:
    assert one["securityContext"]["readOnlyRootFilesystem"]
    options = ["--read-only", "--user", f"{context['runAsUser']}:{context['runAsGroup']}"]
    options += [
        part for right in one["securityContext"]["capabilities"]["drop"] for part in ("--cap-drop", right)
    ]
    memory = one["resources"]["limits"]["memory"].removesuffix("i").lower()
    return [*options, "--security-opt", "no-new-privileges", "--memory", memory]


def _mounted(
    built: tuple[Resource, ...], mount: dict[str, Any], volume: dict[str, Any] | None, files: Path
) -> list[str]:
    place = mount["mountPath"]
    if volume is None:
        # Of a claim: the group of the pod may write to it.
        files.mkdir(parents=True)
        files.chmod(0o777)
        return ["--volume", f"{files}:{place}"]
    if "emptyDir" in volume:
        return [
            "--tmpfs",
            f"{place}:size={volume['emptyDir']['sizeLimit'].removesuffix('i').lower()},mode=1777",
        ]
    write_secrets(built, volume["projected"], files)
    return ["--volume", f"{files}:{place}:ro"]


def write_secrets(built: tuple[Resource, ...], projected: dict[str, Any], folder: Path) -> None:
    """Write the files of Secrets as a kubelet does: each is a link, by way of `..data`, into a folder with a time."""
    data = folder / "..2026_11_30_12_00_00.123456789"
    data.mkdir(parents=True)
    for source in projected["sources"]:
        secret = source["secret"]
        found = [one for one in built if (one["kind"], one["metadata"]["name"]) == ("Secret", secret["name"])]
        assert found or secret.get("optional"), secret
        for name, value in (found[0]["data"] if found else {}).items():
            (data / name).write_bytes(base64.b64decode(value))
            _give(data / name, projected["defaultMode"])
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data").symlink_to(data.name)


def _give(file: Path, mode: int) -> None:
    """Give a file to the group of the pods, as only root can; elsewhere everyone may read it."""
    if os.geteuid():
        file.chmod(0o444)
    else:
        shutil.chown(file, "root", 10001)
        file.chmod(mode)
