"""`rota new job`: what it writes and where, and what it refuses. tests/template runs what it writes."""

import ast
from pathlib import Path

import pytest

from tests.integration.project import Project

JOB, TESTS = "jobs/send_invoice.py", "tests/jobs/test_send_invoice.py"


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    project = Project(tmp_path, capsys)
    project.write("pyproject.toml", "")
    return project


def files(project: Project) -> dict[str, str]:
    return {str(path.relative_to(project.folder)): path.read_text() for path in project.folder.rglob("*.py")}


def test_the_job_is_found_at_once_with_what_was_said_of_it(project: Project) -> None:
    options = ("--queue", "billing", "--kind", "process", "--every", "0 4 * * *")
    said = project.rota("new", "job", "send_invoice", *options)
    assert (said.status, said.err) == (0, "")
    first, second, third = said.out.splitlines()
    assert first == f"{JOB}: the job billing:send_invoice"
    assert second == f"{TESTS}: its tests; run them: python -m pytest {TESTS}"
    assert "rota enqueue send_invoice --wait 10" in third
    (line,) = (line for line in project.rota("list").out.splitlines() if "send_invoice" in line)
    assert line.split("\t")[:2] == ["billing:send_invoice", "process"]
    assert '@every("0 4 * * *")' in files(project)[JOB]


@pytest.mark.parametrize(("kind", "handler"), [("async", ast.AsyncFunctionDef), ("thread", ast.FunctionDef)])
def test_a_kind_is_a_kind_of_function(project: Project, kind: str, handler: type) -> None:
    assert project.rota("new", "job", "send_invoice", "--kind", kind).status == 0
    (function,) = (node for node in ast.parse(files(project)[JOB]).body if hasattr(node, "args"))
    assert type(function) is handler


def test_the_tests_are_written_for_the_package_of_the_settings(project: Project) -> None:
    project.write("shop/work/__init__.py", "")
    project.write("shop/__init__.py", "")
    assert project.rota("new", "job", "send_invoice", JOBS_PACKAGE="shop.work").status == 0
    assert "from shop.work.send_invoice import send_invoice" in files(project)[TESTS]
    assert "shop/work/send_invoice.py" in files(project)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Send-Invoice", "did you mean send_invoice?"),
        ("9lives", "a small letter a-z"),
        ("a" * 41, "at most 40"),
        ("a/../b", "did you mean a_b?"),
        ("class", "means something else"),
        ("sum", "means something else"),
        ("run", "means something else"),
        ("lifespan", "means something else"),
        ("greet", "the job default:greet is there already, at "),
        ("send", "the job email:send is there already, at "),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_the_reason(project: Project, name: str, said: str) -> None:
    before = files(project)
    project.rota("new", "job", name).refused(said)
    assert files(project) == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--queue", "Bills", "queue name 'Bills' is not allowed"),
        ("--every", "9 9", "no time to run at"),
        ("--every", '0 4 * * *") ("', "no time to run at"),
    ],
)
def test_a_queue_or_a_time_that_cannot_be_is_refused(
    project: Project, option: str, value: str, said: str
) -> None:
    before = files(project)
    project.rota("new", "job", "send_invoice", option, value).refused(said)
    assert files(project) == before


@pytest.mark.parametrize("there", [JOB, TESTS])
def test_a_file_that_is_there_stays_and_no_other_is_written(project: Project, there: str) -> None:
    project.write(there, "# mine\n")
    before = files(project)
    project.rota("new", "job", "send_invoice").refused(f"{there} is there already")
    assert files(project) == before


def test_without_a_jobs_package_it_says_so(project: Project) -> None:
    ran = project.rota("new", "job", "send_invoice", JOBS_PACKAGE="nowhere.jobs")
    ran.refused("there is no folder of the jobs package 'nowhere.jobs'")


def test_a_folder_that_cannot_be_written_is_a_sentence(project: Project) -> None:
    project.write("tests", "a file")
    before = files(project)
    project.rota("new", "job", "send_invoice").refused("tests/jobs/test_send_invoice.py cannot be written")
    assert files(project) == before
