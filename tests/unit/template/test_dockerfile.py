"""The image's file: what it promises of safety and shutdown is written in it."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def instructions(text: str) -> list[tuple[str, str]]:
    """Yield each instruction of a Dockerfile with its arguments, in one line."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    pairs = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(name, rest) for name, rest in pairs]


DOCKERFILE = instructions((ROOT / "Dockerfile.worker").read_text("utf-8"))
LAST_STAGE = DOCKERFILE[max(at for at, (name, _) in enumerate(DOCKERFILE) if name == "FROM") :]
LAST = dict(LAST_STAGE)
VARIABLES = dict(re.findall(r"(\w+)=(\S+)", next(rest for name, rest in LAST_STAGE if name == "ENV")))


def test_the_last_stage_takes_from_the_others_and_from_nowhere_else() -> None:
    stages = [rest for name, rest in DOCKERFILE if name == "FROM"]
    assert len(stages) >= 2
    copies = [rest for name, rest in LAST_STAGE if name in ("COPY", "ADD")]
    assert copies
    assert all(re.match(r"--from=[a-z]+ ", copied) for copied in copies)


def test_the_base_is_pinned_to_a_python_and_a_release_of_its_system() -> None:
    (base,) = (rest for name, rest in DOCKERFILE if name == "ARG" and rest.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-[a-z]+", base)


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", LAST["USER"])


def test_nothing_starts_through_a_shell() -> None:
    assert json.loads(LAST["CMD"]) == ["python", "-m", "rota"]
    assert isinstance(json.loads(LAST["HEALTHCHECK"].partition("CMD ")[2]), list)
    assert "ENTRYPOINT" not in LAST


def test_the_health_check_looks_at_the_file_that_the_worker_touches() -> None:
    # Without an argument it looks at the file of HEALTH_FILE, wherever `.env` has it.
    assert json.loads(LAST["HEALTHCHECK"].partition("CMD ")[2])[-1].endswith("/rota/process/health.py")
    assert VARIABLES["HEALTH_FILE"].startswith("/tmp/")


def test_the_image_is_a_worker_in_production_that_is_told_to_stop_by_sigterm() -> None:
    assert (VARIABLES["MODE"], VARIABLES["APP_ENV"]) == ("worker", "production")
    assert LAST["STOPSIGNAL"] == "SIGTERM"


def test_the_worker_knows_the_version_that_the_image_was_built_with() -> None:
    arguments = [rest.partition("=")[0] for name, rest in LAST_STAGE if name == "ARG"]
    assert "VERSION" in arguments
    assert ("ENV", "APP_VERSION=${VERSION:-unreleased}") in LAST_STAGE
    # Before the argument it would be empty, and what stands behind it is built again with each version.
    assert LAST_STAGE.index(("ENV", "APP_VERSION=${VERSION:-unreleased}")) > LAST_STAGE.index(
        ("ARG", "VERSION=unreleased")
    )


def test_what_comes_from_outside_is_pinned_by_hash() -> None:
    commands = [part for name, rest in DOCKERFILE if name == "RUN" for part in rest.split("&&")]
    installs = [
        command for command in commands if re.search(r"\bpip\b.*\b(install|wheel|download)\b", command)
    ]
    assert installs
    for command in installs:
        assert "--require-hashes" in command or "--no-deps" in command
    assert not [command for command in commands if re.search(r"\b(curl|wget|git)\b", command)]


def test_dependencies_are_installed_before_the_code_comes() -> None:
    copies = [rest for name, rest in DOCKERFILE if name == "COPY"]
    locked = next(at for at, copied in enumerate(copies) if "worker.txt" in copied)
    code = next(at for at, copied in enumerate(copies) if copied.startswith("src/"))
    assert locked < code


def test_a_build_is_sent_only_what_is_named() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    sent = {pattern for pattern in patterns if pattern.startswith("!")}
    assert sent == {"!pyproject.toml", "!README.md", "!LICENSE", "!requirements", "!src", "!deploy/image"}
    copied = {
        "/".join(word.split("/")[: 2 if word.startswith("deploy/") else 1])
        for name, rest in DOCKERFILE
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
        if not word.startswith("--")
    }
    assert {f"!{name}" for name in copied} == sent
