"""What a repository on GitHub gets: workflow, Dependabot, forms, hooks and the container to develop in."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.files import ROOT, files
from tests.template.projects import PRODUCTION, TOOLS, WORKFLOW, commands, run
from tests.yaml_files import read_yaml

#: The files that programs of others read, by the schema that says what may stand in them.
SCHEMAS = {
    "github-workflows": (WORKFLOW,),
    "dependabot": (".github/dependabot.yml",),
    "github-issue-forms": (".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/idea.yml"),
    "github-issue-config": (".github/ISSUE_TEMPLATE/config.yml",),
    "compose-spec": (".devcontainer/compose.yml", "docker-compose.yml"),
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_its_files_are_what_their_readers_expect(schema: str) -> None:
    run(str(TOOLS / "check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *SCHEMAS[schema], cwd=ROOT)


def test_each_file_of_the_folder_is_held_to_a_schema() -> None:
    held = {ROOT / name for names in SCHEMAS.values() for name in names}
    assert {path for path in files(".github") if path.suffix == ".yml"} <= held


def test_the_workflow_has_no_weakness_that_is_known() -> None:
    # Also: each action by the hash of a commit, the least rights, and no credentials that stay behind.
    run(str(TOOLS / "zizmor"), "--offline", "--no-progress", "--persona", "pedantic", ".github", cwd=ROOT)


def test_the_check_of_the_workflow_finds_a_weakness(tmp_path: Path) -> None:
    weak = (
        (ROOT / WORKFLOW)
        .read_text("utf-8")
        .replace("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4")
    )
    (tmp_path / "weak.yml").write_text(weak)
    looked = subprocess.run(
        [TOOLS / "zizmor", "--offline", "--no-progress", "weak.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode != 0
    assert "unpinned-uses" in looked.stdout


def test_each_action_is_named_by_a_commit_and_its_version() -> None:
    used = re.findall(r"uses: (.*)", (ROOT / WORKFLOW).read_text("utf-8"))
    assert len(used) == 5
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_each_command_of_the_workflow_is_one_of_make() -> None:
    targets = re.findall(r"(?m)^([a-z-]+)::?(?: .*)?##", (ROOT / "Makefile").read_text("utf-8"))
    found = [command for job in ("code", "image") for command, _ in commands(ROOT, job)]
    assert [command.removeprefix("make ") for command in found] == ["setup", "check", "test", "smoke", "sbom"]
    assert {command.removeprefix("make ") for command in found} <= set(targets)


def test_a_new_project_passes_what_the_workflow_runs_of_its_code(project: Path) -> None:
    for command, variables in commands(project, "code"):
        printed = run(*command.split(), cwd=project, PROCESSES="0", **variables)
        assert command != "make test" or re.search(r"\d+ passed", printed)


def pre_commit(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project / ".venv" / "bin" / "pre-commit", *arguments],
        cwd=project,
        env={**os.environ, "PRE_COMMIT_HOME": str(project.parent / "hooks")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_runs_before_a_commit_lets_a_new_project_through_and_stops_mistakes_and_secrets(
    project: Path,
) -> None:
    passed = pre_commit(project, "run", "--all-files")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert passed.stdout.count("Passed") == 3, "ruff, its format and mypy ran, and nothing was skipped"

    wrong = project / "src" / "jobs" / "wrong.py"
    wrong.write_text('"""Wrong."""\n\nimport os\n\nnumber: int = "one"\n')
    try:
        run("git", "add", str(wrong), cwd=project)
        for secret in ("secrets/SMTP_PASSWORD", f"{Path(PRODUCTION).parent}/secrets/REDIS_URL"):
            (project / secret).parent.mkdir(exist_ok=True)
            (project / secret).write_text("canary")
            run("git", "add", "--force", secret, cwd=project)
        stopped = pre_commit(project, "run")
    finally:
        run("git", "reset", "--quiet", "--hard", cwd=project)
    assert stopped.returncode != 0
    for said in (
        "F401",
        "Incompatible types in assignment",
        "Secrets stay on the machine",
        "secrets/SMTP_PASSWORD",
        "production/secrets/REDIS_URL",
    ):
        assert said in stopped.stdout


def test_the_container_to_develop_in_is_made_of_what_is_here() -> None:
    folder = ROOT / ".devcontainer"
    text = (folder / "devcontainer.json").read_text("utf-8")
    asked = json.loads(re.sub(r"(?m)^\s*//.*$", "", text))
    services: dict[str, Any] = {}
    for name in asked["dockerComposeFile"]:
        services |= read_yaml(folder / name)["services"]
    workspace = services[asked["service"]]
    assert f".:{asked['workspaceFolder']}" in workspace["volumes"]
    assert workspace["depends_on"].keys() <= services.keys()
    assert {"APP_ENV": "development", **workspace["environment"]} == services["worker"]["environment"]
    # What the fixture of these tests has run for the project.
    assert asked["postCreateCommand"] == "make setup"
