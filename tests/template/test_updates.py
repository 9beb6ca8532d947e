"""The next version of a project: engine and template are updated, and what is the team's stays as it is."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.template.projects import PRODUCTION, Origin, change, commit, environment_of, run


def pins(lock: Path) -> set[str]:
    return set(re.findall(r"(?m)^([a-z0-9-]+)==", lock.read_text("utf-8")))


def names(requirements: str) -> set[str]:
    return set(re.findall(r"(?m)^([a-z][a-z0-9-]*)", requirements))


def test_an_update_changes_engine_and_template_and_nothing_that_is_theirs(
    origin: Origin, project: Path
) -> None:
    run(".venv/bin/rota", "new", "job", "send_invoice", cwd=project)
    (project / "src" / "jobs" / "greetings.py").unlink()
    (project / "tests" / "jobs" / "test_greetings.py").unlink()
    (project / ".env").write_text("QUEUE_CONCURRENCY=7\n")
    with (project / "requirements" / "worker.in").open("a") as wanted:
        wanted.write("sortedcontainers\n")
    with (project / "docker-compose.prod.worker.yml").open("a") as ours:
        ours.write("# Ours.\n")
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
    merged = (project / "docker-compose.prod.worker.yml").read_text("utf-8")
    assert merged.startswith("# Of the new version.\n")
    assert merged.endswith("# Ours.\n")
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
