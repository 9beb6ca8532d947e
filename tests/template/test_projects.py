"""A project made by Copier: what is in it, that it passes its own checks, and that it is updated without a conflict."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.template.projects import PRODUCTION, TOOLS, Origin, change, commit, environment_of, run
from tests.yaml_files import read_yaml

#: What a project has at its top. All else here is of the engine's own repository.
TOP = {
    *(
        ".copier-answers.yml",
        ".dockerignore",
        ".env.example",
        ".gitignore",
        ".hadolint.yaml",
        "LICENSE",
        "README.md",
    ),
    *(
        "Dockerfile.worker",
        "Makefile",
        "docker-compose.prod.worker.yml",
        "docker-compose.yml",
        "pyproject.toml",
    ),
    *(".devcontainer", ".github", ".pre-commit-config.yaml", "SECURITY.md"),
    *("deploy", "requirements", "scripts", "secrets", "src", "tests"),
}


def tracked(project: Path) -> list[str]:
    return run("git", "ls-files", cwd=project).splitlines()


def pins(lock: Path) -> set[str]:
    return set(re.findall(r"(?m)^([a-z0-9-]+)==", lock.read_text("utf-8")))


def names(requirements: str) -> set[str]:
    return set(re.findall(r"(?m)^([a-z][a-z0-9-]*)", requirements))


def test_it_has_what_a_team_works_with_and_nothing_of_how_the_engine_is_made(project: Path) -> None:
    assert {name.partition("/")[0] for name in tracked(project)} == TOP
    assert {path.name for path in (project / "src").iterdir()} == {"jobs", "rota"}
    tests = {name for name in tracked(project) if name.startswith("tests/")}
    assert tests <= {"tests/__init__.py", "tests/conftest.py"} | {
        name for name in tests if "tests/jobs/" in name
    }
    assert not [name for name in tracked(project) if name.endswith(".jinja")]


def test_its_own_answers_stand_in_it(project: Path) -> None:
    readme = (project / "README.md").read_text("utf-8")
    assert readme.startswith("# Jobs of the shop\n\nBackground jobs of our application.\n")
    assert "{{" not in readme
    assert "{%" not in readme
    assert 'image.title="Jobs of the shop"' in (project / "Dockerfile.worker").read_text("utf-8")
    assert "licenses" not in (project / "Dockerfile.worker").read_text("utf-8")
    answers = read_yaml(project / ".copier-answers.yml")
    assert (answers["project_name"], answers["engine"]) == ("Jobs of the shop", "source")


def test_its_tools_look_at_its_own_code(project: Path) -> None:
    tools = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]
    assert tools["mypy"]["files"] == ["src/jobs", "tests"]
    assert "src/rota" in tools["ruff"]["extend-exclude"]
    assert tools["ruff"]["lint"]["per-file-ignores"].keys() == {"tests/*"}
    assert "markers" not in tools["pytest"]["ini_options"]


def test_an_update_changes_engine_and_template_and_nothing_that_is_theirs(
    origin: Origin, project: Path
) -> None:
    run(".venv/bin/rota", "new", "job", "send_invoice", cwd=project)
    (project / "src" / "jobs" / "greetings.py").unlink()
    (project / "tests" / "jobs" / "test_greetings.py").unlink()
    (project / ".env").write_text("QUEUE_CONCURRENCY=7\n")
    with (project / "requirements" / "worker.in").open("a") as wanted:
        wanted.write("sortedcontainers\n")
    change(project / "README.md", "Background jobs of our application.", "Invoices and the like.")
    change(project / PRODUCTION, 'newTag: "1.0.0"', 'newTag: "2.3.4"')
    commit(project, "Our jobs")
    jobs = ("src/jobs/send_invoice.py", "tests/jobs/test_send_invoice.py")
    theirs = {name: (project / name).read_bytes() for name in (*jobs, ".env", "README.md", PRODUCTION)}

    origin.update(project)

    changed = run("git", "status", "--porcelain", "--untracked-files=all", cwd=project).splitlines()
    assert {line[3:] for line in changed} == {
        *(".copier-answers.yml", "docker-compose.prod.worker.yml", "pyproject.toml", "src/rota/newer.py")
    }
    assert {line[:2] for line in changed} <= {" M", "??"}
    assert {name: (project / name).read_bytes() for name in theirs} == theirs
    assert "sortedcontainers\n" in (project / "requirements" / "worker.in").read_text("utf-8")
    assert (
        (project / "docker-compose.prod.worker.yml").read_text("utf-8").startswith("# Of the new version.\n")
    )
    commit(project, "The next version")
    # The requirements of the engine may have changed: the environment is set up again by itself.
    assert re.search(r"\d+ passed", run("make", "test", "PROCESSES=0", cwd=project))
    run("make", "check", cwd=project)
    assert f"Version: {origin.versions[1]}\n" in run(
        ".venv/bin/python", "-m", "pip", "show", "rota", cwd=project
    )


@pytest.fixture(scope="module")
def packaged(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project without samples, that has the engine as a package and its checks elsewhere."""
    folder = tmp_path_factory.mktemp("packaged") / "project"
    return origin.make(folder, project_name="Packaged", samples=False, engine="package", ci="none")


def test_the_samples_leave_with_the_libraries_that_they_alone_use(origin: Origin, packaged: Path) -> None:
    assert not (packaged / "src" / "jobs" / "samples").exists()
    here = origin.folder / "requirements"
    whole, left = ((folder / "worker.in").read_text("utf-8") for folder in (here, packaged / "requirements"))
    removed = names(whole) - names(left)
    assert removed
    assert names(left) == {"rota"}
    for lock, ours in (("worker.txt", "worker.txt"), ("dev.txt", "project.txt")):
        assert removed < pins(here / ours)
        assert pins(packaged / "requirements" / lock) == pins(here / ours) - removed


def test_the_engine_as_a_package_is_one_line_before_and_after_an_update(
    origin: Origin, project: Path, packaged: Path
) -> None:
    assert {path.name for path in (packaged / "src").iterdir()} == {"jobs"}
    assert "project" not in tomllib.loads((packaged / "pyproject.toml").read_text("utf-8"))
    engine = packaged / "requirements" / "engine.txt"
    python = environment_of(packaged, project)
    for version in origin.versions:
        wheel = origin.wheel(version, packaged / "requirements")
        if version == origin.versions[1]:
            commit(packaged, "The next engine")
            origin.update(packaged)
            # Which engine it runs on is theirs to say, by this line alone.
            change(engine, f"./requirements/rota-{origin.versions[0]}-", f"./requirements/rota-{version}-")
        assert f"./requirements/{wheel.name}\n" in engine.read_text("utf-8")
        install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
        run(str(python), *install, "-r", "requirements/engine.txt", cwd=packaged)
        found = "import importlib.metadata as m, rota; print(m.version('rota'), rota.__file__)"
        told, _, place = run(str(python), "-c", found, cwd=packaged).strip().partition(" ")
        assert told == version
        assert Path(place).is_relative_to(packaged / ".venv")
        assert re.search(
            r"\d+ passed", run("make", "-o", ".venv/.rota-setup", "test", "PROCESSES=0", cwd=packaged)
        )


def test_an_answer_that_would_break_files_is_refused(origin: Origin, tmp_path: Path) -> None:
    asked = subprocess.run(
        [
            TOOLS / "copier",
            "copy",
            "--defaults",
            "--data",
            'project_name=a "name"',
            str(origin.folder),
            "project",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode != 0
    assert "a line of text without quotation marks" in asked.stderr
