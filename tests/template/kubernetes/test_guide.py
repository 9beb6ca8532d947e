"""The guide to production on Kubernetes is followed: all of its commands run, and name what there is."""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rota.cli.main import cli
from rota.settings.settings import Settings
from tests.template.kubernetes.built import (
    FOLDER,
    ROOT,
    Resource,
    build,
    container,
    environment,
    named,
    of_rota,
    pod,
    way,
)
from tests.template.kubernetes.following import GUIDE, Followed, commands, follow
from tests.template.kubernetes.test_manifests import NEWEST, OLDEST

PRODUCTION, EXAMPLE = "deploy/kubernetes/overlays/production", "deploy/kubernetes/overlays/example"
#: What kubectl calls the kinds that the commands name.
KINDS = {"deployment": "Deployment", "service": "Service"}
#: The flags that the commands give a value to behind a space.
VALUED = {"-n", "-k", "-l", "--timeout", "--tail", "--replicas"}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return follow(tmp_path_factory.mktemp("guide"))


@dataclass
class Call:
    """A call of kubectl: its words, its flags, and the command that is run in a container."""

    words: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)
    inside: list[str] = field(default_factory=list)


def read(arguments: list[str]) -> Call:
    """Return what the arguments of kubectl say."""
    call = Call()
    if "--" in arguments:
        at = arguments.index("--")
        arguments, call.inside = arguments[:at], arguments[at + 1 :]
    rest = iter(arguments)
    for one in rest:
        if one in VALUED:
            call.flags[one] = next(rest)
        elif one.startswith("-"):
            name, _, value = one.partition("=")
            call.flags[name] = value
        else:
            call.words.append(one)
    return call


def check(call: Call, built: tuple[Resource, ...]) -> list[tuple[str, str]]:
    """Check that what a call names is deployed, with that kind, name and labels; return the resources it names."""
    folders = [call.flags["-k"]] if "-k" in call.flags else []
    verb, *words = call.words
    if verb == "kustomize":
        folders, words = words, []
    for folder in folders:
        assert (ROOT / folder / "kustomization.yaml").is_file()
    parts = [word.partition("/") for word in words if "/" in word]
    found = [(kind, name) for kind, _, name in parts]
    for kind, name in found:
        one = named(built, KINDS[kind], name)
        assert one["metadata"]["namespace"] == call.flags["-n"]
    if "-l" in call.flags:
        wanted = dict([call.flags["-l"].split("=")])
        labels = [one["spec"]["template"]["metadata"]["labels"] for one in of_rota(built).values()]
        assert [one for one in labels if wanted.items() <= one.items()]
        assert call.flags["-n"] == "rota"
    if call.inside:
        check_command(call.inside)
    return found


def check_command(words: list[str]) -> None:
    """Check that a command of rota is one, and takes these arguments."""
    program, *arguments = words
    assert program == "rota"
    # Help is shown where all before it can be read.
    assert CliRunner().invoke(cli, [*arguments, "--help"]).exit_code == 0, words


def git(folder: Path, *asked: str) -> str:
    """Ask git about a folder, and return what it says."""
    return subprocess.run(
        ["git", *asked], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def of_kubectl(followed: Followed) -> list[Call]:
    return [read(arguments) for program, *arguments in followed.calls if program == "kubectl"]


def test_all_of_its_commands_run(followed: Followed) -> None:
    lines = [re.sub(r"^[A-Z]+=\$\(|^SECRETS=\S+$", "", line) for line in commands(GUIDE)]
    programs = [line.split()[0] for line in lines if line]
    assert len(of_kubectl(followed)) == programs.count("kubectl") > 15
    assert set(programs) == {"kubectl", "docker", "kind", "git", "cd", "mkdir", "printf", ".venv/bin/rota"}


def test_what_they_name_is_deployed(followed: Followed) -> None:
    built = {EXAMPLE: way("example"), PRODUCTION: tuple(build(followed.copy / PRODUCTION))}
    overlay, said = "", set()
    for call in of_kubectl(followed):
        overlay = call.flags.get("-k", overlay)
        # What is looked at before anything is applied names nothing.
        said.update(check(call, built.get(overlay, ())))
    assert {"rota-worker", "rota-api", "rota-exporter"} <= {name for _, name in said}


def test_the_port_that_is_forwarded_is_that_of_the_service(followed: Followed) -> None:
    (call,) = (call for call in of_kubectl(followed) if "port-forward" in call.words)
    (ports,) = (word for word in call.words if ":" in word)
    (port,) = named(way("example"), "Service", "rota-api")["spec"]["ports"]
    assert ports.split(":")[1] == str(port["port"])


def test_what_is_built_and_pushed_is_what_runs(followed: Followed) -> None:
    runs = {
        overlay: {container(one)["image"] for one in of_rota(tuple(built)).values()}
        for overlay, built in ((EXAMPLE, way("example")), (PRODUCTION, build(followed.copy / PRODUCTION)))
    }
    made = [shlex.join(arguments) for program, *arguments in followed.calls if program != "kubectl"]
    secrets = followed.copy / PRODUCTION / "secrets"
    (example,), (production,) = runs[EXAMPLE], runs[PRODUCTION]
    version, revision = production.rsplit(":", 1)[1], git(followed.copy, "rev-parse", "HEAD")
    assert made == [
        f"build -f Dockerfile.worker -t {example} .",
        f"load docker-image {example}",
        f"build -f Dockerfile.worker --build-arg VERSION={version} --build-arg REVISION={revision} -t {production} .",
        f"run --rm --user {os.getuid()} --env-file rota.env -v {secrets}:/run/secrets:ro {production} rota list",
        f"push {production}",
    ]
    for argument in ("VERSION", "REVISION"):
        assert f"ARG {argument}" in (ROOT / "Dockerfile.worker").read_text("utf-8")


def test_the_secrets_that_it_writes_are_deployed_and_ignored_by_git(followed: Followed) -> None:
    secrets = followed.copy / PRODUCTION / "secrets"
    assert {path.name for path in secrets.iterdir()} == {"REDIS_URL", "API_KEYS", "admin-key"}
    assert secrets.stat().st_mode & 0o077 == 0
    deployed = "".join(str(one) for one in build(followed.copy / PRODUCTION))
    assert (secrets / "admin-key").read_text().strip() not in deployed
    assert git(followed.copy, "status", "--porcelain", "--", PRODUCTION) == ""


def test_the_port_of_redis_is_that_of_the_policy(followed: Followed) -> None:
    url = (followed.copy / PRODUCTION / "secrets" / "REDIS_URL").read_text("utf-8")
    policy = named(way("production"), "NetworkPolicy", "rota-redis")
    assert [port["port"] for port in policy["spec"]["egress"][0]["ports"]] == [
        int(url.rsplit(":", 1)[1].split("/")[0])
    ]


@pytest.mark.parametrize("page", ["docs/kubernetes.md", "docs/operations.md", "deploy/kubernetes/README.md"])
def test_what_is_named_in_a_sentence_is_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for command in re.findall(r"`kubectl ([^`]+)`", text):
        check(read(shlex.split(command)), way("production"))
    for path in re.findall(r"`((?:overlays|components|base|workers)(?:/[\w.-]+)*/?)`", text):
        assert (FOLDER / path).exists(), path


def test_its_numbers_are_those_of_the_manifests_and_the_settings() -> None:
    said = " ".join(GUIDE.read_text("utf-8").split())
    worker = named(way("production"), "Deployment", "rota-worker")
    alive = container(worker)["livenessProbe"]
    drain = environment(way("production"), worker)["DRAIN_TIMEOUT"]
    for sentence in (
        f"`JOB_TIMEOUT` ({Settings().job_timeout:g} s) is less than `DRAIN_TIMEOUT` ({drain} s)",
        f"`terminationGracePeriodSeconds` ({pod(worker)['terminationGracePeriodSeconds']} s)",
        f"It fails the pod after {alive['periodSeconds'] * alive['failureThreshold']} s",
        f"later than `LOOP_BLOCK_LIMIT` ({Settings().loop_block_limit:g} s)",
        f"the manifests are checked against 1.{OLDEST} to 1.{NEWEST}",
        f"It needs Kubernetes 1.{OLDEST} or newer",
    ):
        assert sentence in said


def test_the_readme_lists_every_folder() -> None:
    said = set(re.findall(r"`([a-z][\w/-]*)`", (FOLDER / "README.md").read_text("utf-8")))
    last = {Path(name).name for name in said}
    made = {path.parent.name for path in FOLDER.rglob("kustomization.yaml")} - {"reports"}
    assert made <= last


def test_what_the_guide_says_of_a_command_that_is_wrong_would_be_found() -> None:
    for wrong in (
        "-n rota scale deployment/rota-workers",
        "-n jobs scale deployment/rota-worker",
        "-n rota scale job/rota-worker",
    ):
        with pytest.raises((ValueError, KeyError, AssertionError)):
            check(read(shlex.split(wrong)), way("production"))
    with pytest.raises(AssertionError):
        check_command(["rota", "doctor", "--bogus"])
