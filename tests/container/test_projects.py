"""Projects made of this repository: their images, the stack that their workflow tries, the container to develop in."""

import json
from pathlib import Path

import pytest

from tests.container.conftest import Images
from tests.container.containers import REDIS, inside
from tests.container.engine import Engine
from tests.template.projects import Origin, commands, make_origin, run


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return make_origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="module")
def project(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return origin.make(tmp_path_factory.mktemp("projects") / "shop-jobs", project_name="Jobs of the shop")


def test_a_new_project_passes_what_the_workflow_runs_of_its_image_and_stack(
    engine: Engine, project: Path
) -> None:
    printed = [
        run(*command.split(), cwd=project, **{**engine.environment, **variables})
        for command, variables in commands(project, "image")
    ]
    assert '"Hello, Ann"' in printed[0]
    listed = {
        part["name"] for part in json.loads((project / "sbom.cdx.json").read_text("utf-8"))["components"]
    }
    assert {"arq", "redis"} <= listed
    left = engine.docker(
        "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project.working_dir={project}"
    )
    assert left == ""


def test_with_the_engine_as_a_package_the_image_holds_the_same(
    engine: Engine, images: Images, image: str, origin: Origin, tmp_path: Path
) -> None:
    packaged = origin.make(
        tmp_path / "packaged", engine="package", samples=False, description="Without samples."
    )
    origin.wheel(origin.versions[0], packaged / "requirements")
    built = images.build(packaged)
    files = (
        "import pathlib, rota; print(sorted(str(f) for f in pathlib.Path(rota.__file__).parent.rglob('*.*')))"
    )
    assert inside(engine, built, files) == inside(engine, image, files)
    ran = engine.ran("run", "--rm", "--env", "MODE=nonsense", *REDIS, built)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    labels = json.loads(engine.docker("inspect", "--format", "{{json .Config.Labels}}", built))
    assert labels["org.opencontainers.image.title"] == "packaged"
    assert labels["org.opencontainers.image.description"] == "Without samples."
    assert "org.opencontainers.image.licenses" not in labels


def test_the_container_to_develop_in_has_the_project_and_the_services_beside_it(
    engine: Engine, project: Path
) -> None:
    asked = ("--file", "docker-compose.yml", "--file", ".devcontainer/compose.yml")
    merged = json.loads(engine.docker("compose", *asked, "config", "--format", "json", cwd=project))
    workspace = merged["services"]["workspace"]
    mounted = {volume["target"]: volume["source"] for volume in workspace["volumes"]}
    assert mounted == {"/workspace": str(project), "/workspace/.venv": "venv"}
    assert workspace["environment"]["REDIS_URL"] == "redis://redis:6379/0"
    assert "redis" in merged["services"]
