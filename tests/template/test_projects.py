"""A project made by Copier: what is in it, that it passes its own checks, and that it is updated without a conflict."""

import re
import subprocess
import tomllib
from pathlib import Path

from tests.template.projects import TOOLS, WORKFLOW, Origin, run
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


def test_it_has_what_a_team_works_with_and_nothing_of_how_the_engine_is_made(project: Path) -> None:
    assert {name.partition("/")[0] for name in tracked(project)} == TOP
    assert {path.name for path in (project / "src").iterdir()} == {"jobs", "rota"}
    assert {path.name for path in (project / "tests").glob("[!_]*")} == {
        *("conftest.py", "jobs", "receivers.py", "samples")
    }
    assert not [name for name in tracked(project) if name.endswith(".jinja")]


def test_its_own_answers_stand_in_it(project: Path) -> None:
    readme = (project / "README.md").read_text("utf-8")
    assert readme.startswith("# Jobs of the shop\n\nBackground jobs of our application.\n")
    assert "{{" not in readme
    assert "{%" not in readme
    assert 'image.title="Jobs of the shop"' in (project / "Dockerfile.worker").read_text("utf-8")
    assert "licenses" not in (project / "Dockerfile.worker").read_text("utf-8")
    # Beside another project's: two of one name would be one to Compose.
    assert read_yaml(project / "docker-compose.yml")["name"] == "jobs-of-the-shop-development"
    answers = read_yaml(project / ".copier-answers.yml")
    assert (answers["project_name"], answers["engine"]) == ("Jobs of the shop", "source")


def test_each_file_that_its_files_name_is_there(project: Path) -> None:
    named: set[str] = set()
    for name in (
        "Makefile",
        "Dockerfile.worker",
        "docker-compose.yml",
        "docker-compose.prod.worker.yml",
        WORKFLOW,
    ):
        text = (project / name).read_text("utf-8")
        named |= set(re.findall(r"(?<![\w/.])(?:scripts|deploy|requirements|src)/[\w./-]*\w", text))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (project / name).exists()] == []


def test_links_of_its_documents_lead_to_the_guides_of_where_it_comes_from(
    origin: Origin, project: Path
) -> None:
    pages = [path for path in project.rglob("*.md") if ".venv" not in path.parts]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    ]
    assert {page.parent.name for page, link in links if link.startswith(str(origin.folder / "docs"))} >= {
        *(project.name, "kubernetes")
    }
    for page, link in links:
        assert link.startswith("http") or (page.parent / link).exists(), (
            f"{page.relative_to(project)}: {link}"
        )


def test_its_tools_look_at_its_own_code(project: Path) -> None:
    tools = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]
    assert tools["mypy"]["files"] == ["src/jobs", "tests"]
    assert "src/rota" in tools["ruff"]["extend-exclude"]
    assert tools["ruff"]["lint"]["per-file-ignores"].keys() == {"tests/*"}
    assert "markers" not in tools["pytest"]["ini_options"]


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
