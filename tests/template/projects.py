"""Projects made of this repository as a team makes them: by Copier, of a version, with a history of their own."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import copier

from tests.container.checkout import copy_checkout
from tests.yaml_files import read_yaml

#: What GitHub is to do at each change of a project.
WORKFLOW = ".github/workflows/checks.yml"

#: The commands of this environment.
TOOLS = Path(sys.executable).parent

#: What says how a project is deployed on Kubernetes, and is the project's own.
PRODUCTION = "deploy/kubernetes/overlays/production/kustomization.yaml"

#: Who commits in repositories of tests. Settings of this machine's user do not count.
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{
        f"GIT_{who}_{what}": "test@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


def run(*command: str, cwd: Path, **variables: str) -> str:
    """Run a command, and return what it printed; its end with another status than 0 fails the test."""
    ran = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **GIT, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{' '.join(command)}\n{(ran.stdout + ran.stderr)[-4000:]}"
    return ran.stdout


def commit(folder: Path, message: str) -> None:
    """Commit all that is in a folder; the first time it becomes a repository."""
    if not (folder / ".git").exists():
        run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", message, cwd=folder)


@dataclass(frozen=True)
class Origin:
    """A copy of this repository that has two versions: the checkout as it is, and one after it."""

    folder: Path
    versions: tuple[str, str]

    def make(self, folder: Path, **answers: Any) -> Path:
        """Make a project of the first version, and commit it; questions that have no answer here have the default."""
        copier.run_copy(
            str(self.folder), folder, data=answers, defaults=True, quiet=True, vcs_ref=f"v{self.versions[0]}"
        )
        commit(folder, "Begin")
        return folder

    def update(self, project: Path) -> None:
        """Update a project to the second version, as `copier update` does."""
        copier.run_update(project, defaults=True, quiet=True, overwrite=True, vcs_ref=f"v{self.versions[1]}")

    def wheel(self, version: str, into: Path) -> Path:
        """Build the engine's wheel of a version, by the command of docs/taking.md."""
        address = f"git+file://{self.folder}@v{version}"
        pip = (sys.executable, "-m", "pip", "wheel", "--quiet")
        run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(into), address, cwd=into)
        return into / f"rota-{version}-py3-none-any.whl"


def commands(folder: Path, job: str) -> list[tuple[str, dict[str, str]]]:
    """Return the commands of a job of the workflow, each with the variables that it gets."""
    steps = read_yaml(folder / WORKFLOW)["jobs"][job]["steps"]
    return [(step["run"], step.get("env", {})) for step in steps if "run" in step]


def change(file: Path, old: str, new: str) -> None:
    """Replace the one place where a text stands in a file."""
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{file.name} has {old!r} {text.count(old)} times"
    file.write_text(text.replace(old, new), "utf-8")


def make_origin(folder: Path) -> Origin:
    """Make a copy of this repository with two tagged versions, of which the second changes engine and template."""
    copy_checkout(folder)
    pyproject = folder / "pyproject.toml"
    found = re.search(r'(?m)^version = "(.+)"$', pyproject.read_text("utf-8"))
    assert found is not None
    first, second = found[1], "99.0.0"
    commit(folder, first)
    run("git", "tag", f"v{first}", cwd=folder)
    change(pyproject, found[0], f'version = "{second}"')
    (folder / "src" / "rota" / "newer.py").write_text(
        '"""Stands for what a new version of the engine has."""\n'
    )
    compose = folder / "docker-compose.prod.worker.yml"
    compose.write_text(f"# Of the new version.\n{compose.read_text('utf-8')}", "utf-8")
    change(folder / PRODUCTION, 'newTag: "1.0.0"', 'newTag: "1.0.1"')
    commit(folder, second)
    run("git", "tag", f"v{second}", cwd=folder)
    # As a clone from elsewhere has it: Copier looks at each file that is there, and thousands of objects cost minutes.
    run("git", "gc", "--quiet", cwd=folder)
    return Origin(folder, (first, second))


def environment_of(project: Path, other: Path) -> Path:
    """Give a project an environment that has what another's has, but for the engine; return its Python."""
    run("python3", "-m", "venv", "--without-pip", ".venv", cwd=project)
    (packages,) = (project / ".venv" / "lib").glob("python3*/site-packages")
    (theirs,) = (other / ".venv" / "lib").glob("python3*/site-packages")
    (packages / "of_the_other.pth").write_text(f"{theirs}\n")
    shutil.copy(other / ".venv" / ".rota-setup", project / ".venv")
    return project / ".venv" / "bin" / "python"
