"""The build: made of what it needs and nothing private, small, and quick to make again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.conftest import Images
from tests.container.containers import inside
from tests.container.engine import Engine

#: Megabytes that the environment and the code may add to the base, and the samples, which paint, to these.
ADDED, OF_SAMPLES = 80, 30
MB = 1_000_000

CANARY = "canary-7c1f"
PRIVATE = (
    ".env",
    ".env.production",
    ".git/config",
    ".rota/redis.rdb",
    ".venv/pyvenv.cfg",
    "secrets/redis_password",
    "src/jobs/.env",
    "src/jobs/__pycache__/old.cpython-313.pyc",
    "tests/test_private.py",
    "id_rsa",
)


def layers(engine: Engine, image: str) -> list[str]:
    return list(json.loads(engine.docker("inspect", "--format", "{{json .RootFS.Layers}}", image)))


def size(engine: Engine, image: str) -> int:
    return int(engine.docker("inspect", "--format", "{{.Size}}", image))


@pytest.fixture(scope="session")
def base(engine: Engine, image: str) -> str:
    """Return the name of the base image."""
    label = '{{index .Config.Labels "org.opencontainers.image.base.name"}}'
    return engine.docker("inspect", "--format", label, image)


def test_the_build_is_sent_what_the_image_is_made_of_and_nothing_private(
    engine: Engine, tmp_path: Path
) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    for name in PRIVATE:
        file = checkout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CANARY)
    everything = tmp_path / "Dockerfile"
    everything.write_text("FROM scratch\nCOPY . /\n")
    sent = tmp_path / "sent"
    engine.docker("build", "--file", str(everything), "--output", f"type=local,dest={sent}", str(checkout))
    assert {path.name for path in sent.iterdir()} == {
        *("pyproject.toml", "README.md", "LICENSE"),
        *("requirements", "src", "deploy"),
    }
    assert [path.name for path in (sent / "deploy").iterdir()] == ["image"]
    assert (sent / "src" / "rota" / "wire" / "lua" / "step.lua").is_file()
    assert (sent / "src" / "jobs" / "__init__.py").is_file()
    assert not [path for path in sent.rglob("*") if path.is_file() and CANARY in path.read_text("latin-1")]


def test_its_size_is_little_more_than_that_of_its_base(
    engine: Engine, image: str, base: str, facts: list[str]
) -> None:
    whole, below = size(engine, image) / MB, size(engine, base) / MB
    facts.append(f"the image has {whole:.0f} MB, of which {base} is {below:.0f}")
    stand_in = engine.docker("inspect", "--format", '{{index .Config.Labels "local.standin"}}', image)
    if stand_in not in ("", "<no value>"):
        facts.append(f"{base} here is a stand-in made of Debian {stand_in}, not the published image")
    assert whole - below < ADDED + OF_SAMPLES


def test_without_the_samples_it_builds_is_smaller_and_has_the_jobs_that_are_left(
    engine: Engine, images: Images, base: str, facts: list[str], tmp_path: Path
) -> None:
    bare = copy_checkout(tmp_path)
    subprocess.run([sys.executable, "scripts/remove_samples.py"], cwd=bare, check=True, capture_output=True)
    image = images.build(bare)
    listed = engine.docker("run", "--rm", "--env", "REDIS_URL=redis://none", image, "rota", "list", "--json")
    assert [job["job"] for job in json.loads(listed)] == ["email:greet"]
    whole, below = size(engine, image) / MB, size(engine, base) / MB
    facts.append(f"the image without the samples has {whole:.0f} MB")
    assert whole - below < ADDED


def test_a_change_of_code_rebuilds_only_the_last_layer(
    engine: Engine, images: Images, image: str, tmp_path: Path
) -> None:
    changed = copy_checkout(tmp_path)
    with (changed / "src" / "jobs" / "__init__.py").open("a") as module:
        module.write("\n# changed\n")
    before, after = layers(engine, image), layers(engine, images.build(changed))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_a_checkout_that_others_may_not_read_makes_an_image_that_the_worker_can(
    engine: Engine, images: Images, image: str, tmp_path: Path
) -> None:
    """Build from a checkout as a umask of 077 leaves it: its files are its owner's, and the worker is another user."""
    private = with_a_job(copy_checkout(tmp_path))
    for path in [private, *private.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    built = images.build(private)
    unreadable = """
import os
paths = [os.path.join(folder, name) for folder, *names in os.walk("/app") for name in sum(names, [])]
print(len(paths) > 100, [path for path in paths if not os.access(path, os.R_OK)])
"""
    assert inside(engine, built, unreadable) == "True []"
    # Its dependencies are found made, and not installed once more.
    assert layers(engine, built)[:-1] == layers(engine, image)[:-1]


def test_what_is_in_the_image_is_listed_and_nothing_of_where_it_came_from(
    engine: Engine, image: str, checkout: Path
) -> None:
    """Make the list as an operator does; the build checks that it is valid, and ends otherwise."""
    made = ["make", "--no-print-directory", "sbom"]
    environment = {**engine.environment, "TAG": "1.4.2"}
    subprocess.run(made, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    text = (checkout / "sbom.cdx.json").read_text()
    listed = json.loads(text)
    assert (listed["bomFormat"], listed["metadata"]["component"]["version"]) == ("CycloneDX", "1.4.2")
    found = {one["name"].lower().replace("_", "-"): one for one in listed["components"]}
    lock = (checkout / "requirements" / "worker.txt").read_text()
    code = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    packages = {name.lower().replace("_", "-") for name in inside(engine, image, code).split()}
    assert {"arq", "redis", "rota"} < packages <= found.keys()
    assert {"python", "openssl"} <= found.keys()
    for name in packages - {"rota"}:
        (digest,) = found[name]["hashes"]
        assert digest["content"] in lock
    assert found["arq"]["licenses"][0]["license"]["id"] == "MIT"
    assert not {"pip", "pytest", "cyclonedx-bom"} & found.keys()
    # What a package says of itself may name its own site.
    assert "://" not in json.dumps([one | {"description": ""} for one in listed["components"]])
