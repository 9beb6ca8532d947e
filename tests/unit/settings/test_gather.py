"""Variables are found wherever they are set, and every wrong way to set one is a problem."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rota.settings.load import gather

KNOWN = ("APP_ENV", "SECRETS_DIR", "REDIS_PASSWORD", "REDIS_PORT", "REDIS_URL", "MAX_ATTEMPTS", "HEALTH_FILE")


def values(
    env: Mapping[str, str], *, env_file: Path | None = None, secrets_dir: Path | None = None
) -> dict[str, str]:
    found = gather(env, KNOWN, env_file=env_file, secrets_dir=secrets_dir)
    assert found.problems == []
    return found.values


def problems(
    env: Mapping[str, str], *, env_file: Path | None = None, secrets_dir: Path | None = None
) -> list[str]:
    return gather(env, KNOWN, env_file=env_file, secrets_dir=secrets_dir).problems


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_only_known_variables_are_gathered() -> None:
    env = {"MAX_ATTEMPTS": "3", "PATH": "/bin", "QUEUES__EMAIL__CONCURRENCY": "2"}
    assert values(env) == {"MAX_ATTEMPTS": "3", "QUEUES__EMAIL__CONCURRENCY": "2"}


def test_a_value_may_come_from_a_file_and_loses_the_end_of_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "pw", " s p a c e \r\n")
    assert values({"REDIS_PASSWORD_FILE": str(path)}) == {"REDIS_PASSWORD": " s p a c e "}


def test_a_variable_whose_own_name_ends_in_file_is_not_a_pointer() -> None:
    assert values({"HEALTH_FILE": "/tmp/healthy"}) == {"HEALTH_FILE": "/tmp/healthy"}


def test_a_value_and_a_pointer_to_a_value_clash(tmp_path: Path) -> None:
    env = {"REDIS_PASSWORD": "x", "REDIS_PASSWORD_FILE": str(written(tmp_path, "pw", "y"))}
    assert problems(env) == ["REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set; keep one of them"]


def test_a_pointer_to_nothing_is_a_problem(tmp_path: Path) -> None:
    assert problems({"REDIS_URL_FILE": str(tmp_path / "none")}) == [
        "REDIS_URL_FILE points to a file that cannot be read: No such file or directory"
    ]
    assert problems({"REDIS_URL_FILE": str(tmp_path)}) == [
        "REDIS_URL_FILE points to a file that cannot be read: Is a directory"
    ]
    assert problems({"REDIS_URL_FILE": " "}) == [
        "REDIS_URL_FILE is set but empty; give it the path of a file or unset it"
    ]
    assert problems({"REDIS_URL_FILE": str(written(tmp_path, "empty", "\n"))}) == [
        "REDIS_URL_FILE points to an empty file; write the value of REDIS_URL into it"
    ]
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert problems({"REDIS_URL_FILE": str(tmp_path / "binary")}) == [
        "REDIS_URL_FILE points to a file that is not UTF-8 text"
    ]


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
def test_an_empty_value_is_a_problem(empty: str) -> None:
    assert problems({"REDIS_URL": empty}) == ["REDIS_URL is set but empty; give it a value or unset it"]


def test_the_folder_of_secrets_has_a_file_for_each(tmp_path: Path) -> None:
    written(tmp_path, "redis_password", "one\n")
    written(tmp_path, "MAX_ATTEMPTS", "2")
    written(tmp_path, "redis-url", "redis://cache")
    written(tmp_path, "tls.key", "somebody else's")
    (tmp_path / "kubernetes.io").mkdir()
    expected = {"REDIS_PASSWORD": "one", "MAX_ATTEMPTS": "2", "REDIS_URL": "redis://cache"}
    assert values({}, secrets_dir=tmp_path) == expected
    assert values({"SECRETS_DIR": str(tmp_path)}) == {"SECRETS_DIR": str(tmp_path), **expected}


def test_a_secret_of_one_queue_or_with_the_prefix_counts_and_a_misspelt_one_is_a_problem(
    tmp_path: Path,
) -> None:
    written(tmp_path, "QUEUES__EMAIL__CONCURRENCY", "2")
    written(tmp_path, "ROTA_REDIS_URL", "redis://ours")
    written(tmp_path, "REDIS_URL", "redis://another")
    written(tmp_path, "SMTP_PASSWORD", "of the jobs")
    found = gather({}, KNOWN, env_file=None, secrets_dir=tmp_path)
    assert found.values == {"QUEUES__EMAIL__CONCURRENCY": "2", "REDIS_URL": "redis://ours"}
    assert found.secrets.keys() == {*found.values, "SMTP_PASSWORD"}
    written(tmp_path, "REDIS_PASWORD", "")
    assert problems({}, secrets_dir=tmp_path) == [
        "the secret REDIS_PASWORD is not known; did you mean REDIS_PASSWORD?"
    ]


def test_where_a_value_stood_is_known(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("REDIS_URL", "HEALTH_FILE"):
        written(tmp_path / "secrets", name, "/of/secrets")
    pointer = written(tmp_path, "pointer", "a value")
    env_file = written(tmp_path, ".env", f"MAX_ATTEMPTS_FILE={pointer}\n")
    env = {"REDIS_PASSWORD_FILE": str(pointer), "REDIS_URL": "redis://"}
    found = gather(env, KNOWN, env_file=env_file, secrets_dir=tmp_path / "secrets")
    assert found.places == {
        "REDIS_PASSWORD": "environment, REDIS_PASSWORD_FILE",
        "REDIS_URL": "environment",
        "HEALTH_FILE": "secrets",
        "MAX_ATTEMPTS": ".env, MAX_ATTEMPTS_FILE",
    }


def test_a_folder_of_secrets_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (problem,) = problems({"SECRETS_DIR": str(tmp_path / "none")})
    assert problem.startswith("SECRETS_DIR names no folder")


def test_an_empty_secret_is_a_problem(tmp_path: Path) -> None:
    written(tmp_path, "redis_password", "")
    assert problems({}, secrets_dir=tmp_path) == [
        "the secret redis_password points to an empty file; write the value of REDIS_PASSWORD into it"
    ]


def test_the_environment_wins_over_secrets_and_secrets_over_the_env_file(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    written(secrets, "redis_password", "of secrets")
    written(secrets, "redis_url", "of secrets")
    text = "REDIS_PASSWORD=of file\nREDIS_URL=of file\nMAX_ATTEMPTS=of file\n"
    env_file = written(tmp_path, ".env", text)
    assert values({"REDIS_PASSWORD": "of env"}, env_file=env_file, secrets_dir=secrets) == {
        "REDIS_PASSWORD": "of env",
        "REDIS_URL": "of secrets",
        "MAX_ATTEMPTS": "of file",
    }


def test_a_pointer_in_the_environment_wins_over_a_value_in_the_env_file(tmp_path: Path) -> None:
    env_file = written(tmp_path, ".env", "REDIS_PASSWORD=of file\n")
    pointer = written(tmp_path, "pw", "of pointer")
    assert values({"REDIS_PASSWORD_FILE": str(pointer)}, env_file=env_file) == {
        "REDIS_PASSWORD": "of pointer"
    }


def test_the_env_file_is_unread_in_production(tmp_path: Path) -> None:
    env_file = written(tmp_path, ".env", "MAX_ATTEMPTS=9\nREDIS_URI=wrong\n")
    assert values({"APP_ENV": "production"}, env_file=env_file) == {"APP_ENV": "production"}


@pytest.mark.parametrize("line", ["APP_ENV=production", "APP_ENV_FILE={}"])
def test_a_file_cannot_say_that_this_is_production(tmp_path: Path, line: str) -> None:
    env_file = written(tmp_path, ".env", line.format(written(tmp_path, "where", "production")))
    assert problems({}, env_file=env_file) == [
        "APP_ENV is production in a file; only the environment itself can say so"
    ]


def test_an_env_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert values({}, env_file=tmp_path / ".env") == {}


CANNOT = "cannot be read; write NAME=value, or # before a comment"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("REDIS_URL: redis://x\n", [1]),
        ("MAX_ATTEMPTS=3\n\n  \n# why\nREDIS_URL: redis://x\n", [5]),
        ("REDIS_URL:\n", [1]),
        ("REDIS URL=redis://x\r\nMAX_ATTEMPTS=3\r\nset REDIS_URL=redis://x\r\n", [1, 3]),
        ("REDIS_PASSWORD='not closed\nMAX_ATTEMPTS=3\n", [1]),
        ("=redis://x\n", [1]),
        ("\n\nredis://x and more\n", [3]),
    ],
)
def test_a_line_of_the_env_file_that_cannot_be_read_is_a_problem(
    tmp_path: Path, text: str, lines: list[int]
) -> None:
    env_file = written(tmp_path, ".env", text)
    assert problems({}, env_file=env_file) == [f"{env_file}, line {line}, {CANNOT}" for line in lines]


def test_an_env_file_that_is_none_is_a_problem(tmp_path: Path) -> None:
    folder, lost, wide = tmp_path / "folder", tmp_path / "lost", tmp_path / "wide"
    folder.mkdir()
    lost.symlink_to(tmp_path / "nowhere")
    wide.write_text("REDIS_URL=redis://x", "utf-16")
    assert problems({}, env_file=folder) == [f"{folder} is a file that cannot be read: Is a directory"]
    assert problems({}, env_file=lost) == [f"{lost} is a file that cannot be read: No such file or directory"]
    assert problems({}, env_file=wide) == [f"{wide} is a file that is not UTF-8 text"]


def test_the_mark_at_the_beginning_of_an_env_file_is_part_of_no_name(tmp_path: Path) -> None:
    env_file = written(tmp_path, ".env", "\ufeffREDIS_URL=redis://x\n")
    assert values({}, env_file=env_file) == {"REDIS_URL": "redis://x"}


def test_the_env_file_is_taken_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_TOWN", "must not be seen")
    text = "# a comment\nexport REDIS_PASSWORD='${HOME_TOWN}$x'\nMAX_ATTEMPTS=3 # three\nOTHER=1\n"
    assert values({}, env_file=written(tmp_path, ".env", text)) == {
        "REDIS_PASSWORD": "${HOME_TOWN}$x",
        "MAX_ATTEMPTS": "3",
    }


def test_a_name_without_a_value_in_the_env_file_is_a_problem(tmp_path: Path) -> None:
    env_file = written(tmp_path, ".env", "REDIS_URL\n")
    assert problems({}, env_file=env_file) == ["REDIS_URL is set but empty; give it a value or unset it"]


def test_a_misspelt_name_is_a_problem_wherever_it_is(tmp_path: Path) -> None:
    env_file = written(tmp_path, ".env", "MAX_ATEMPTS=3\n")
    assert problems({"REDIS_URI": "x"}, env_file=env_file) == [
        "REDIS_URI is not known; did you mean REDIS_URL?",
        "MAX_ATEMPTS is not known; did you mean MAX_ATTEMPTS?",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "QUEUE__EMAIL__CONCURRENCY",
        "QUEUES_EMAIL__CONCURRENCY",
        "QUEUES_EMAIL_CONCURRENCY",
        "QUEUE_EMAIL__CONCURRENCY",
        "QEUUES__EMAIL__CONCURRENCY",
        "queues__email__concurrency",
    ],
)
def test_a_misspelt_beginning_of_a_queues_variable_is_a_problem(name: str) -> None:
    assert problems({name: "3"}) == [
        f"{name} is not known; write QUEUES__<QUEUE>__<OPTION> for one queue's option"
    ]


def test_a_neighbour_that_the_platform_tells_of_is_passed_over() -> None:
    assert values({"REDIS_PORT": "tcp://10.0.0.1:6379"}) == {}
    assert values({"REDIS_PORT": "6380"}) == {"REDIS_PORT": "6380"}


def test_a_value_is_never_quoted(tmp_path: Path) -> None:
    canary = "s3cr3tCanary"
    env = {
        "REDIS_PASSWORD": canary,
        "REDIS_PASSWORD_FILE": str(written(tmp_path, "pw", canary)),
        "REDIS_URI": canary,
        "QUEUE__X__Y": canary,
        "SECRETS_DIR": canary,
    }
    found = problems(env, env_file=written(tmp_path, ".env", f"REDIS_URRL={canary}\nAPP_ENV=production"))
    assert len(found) == 6
    assert canary not in "".join(found)


# Names that others set too


KNOWN_TO_OTHERS = (*KNOWN, "NAMESPACE", "MODE")


def prefixed(env: Mapping[str, str], file: Path | None = None, secrets: Path | None = None) -> dict[str, str]:
    found = gather(env, KNOWN_TO_OTHERS, env_file=file, secrets_dir=secrets)
    assert found.problems == []
    return found.values


def test_a_name_with_the_prefix_wins_over_the_bare_one() -> None:
    assert prefixed({"NAMESPACE": "team-a", "ROTA_NAMESPACE": "rota"}) == {"NAMESPACE": "rota"}
    assert prefixed({"ROTA_QUEUES__EMAIL__WEIGHT": "2", "QUEUES__EMAIL__WEIGHT": "1"}) == {
        "QUEUES__EMAIL__WEIGHT": "2"
    }


def test_it_wins_wherever_each_of_them_stands(tmp_path: Path) -> None:
    file = written(tmp_path, ".env", "ROTA_NAMESPACE=ours\n")
    assert prefixed({"NAMESPACE": "team-a"}, file) == {"NAMESPACE": "ours"}
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    written(secrets, "namespace", "secret")
    assert prefixed({}, file, secrets) == {"NAMESPACE": "ours"}
    assert prefixed({"ROTA_NAMESPACE": "real"}, file, secrets) == {"NAMESPACE": "real"}


def test_what_others_set_beside_it_is_not_looked_at(tmp_path: Path) -> None:
    env = {"ROTA_MODE": "worker", "MODE": "", "MODE_FILE": "/nowhere"}
    assert prefixed(env) == {"MODE": "worker"}


def test_a_pointer_may_have_the_prefix_too(tmp_path: Path) -> None:
    path = written(tmp_path, "url", "redis://one")
    env = {"ROTA_REDIS_URL_FILE": str(path), "REDIS_URL": "redis://other"}
    assert prefixed(env) == {"REDIS_URL": "redis://one"}


def test_an_address_with_the_prefix_wins_over_one_that_is_written_otherwise() -> None:
    known = (*KNOWN, "REDIS_HOST", "REDIS_SENTINELS", "REDIS_SENTINEL_MASTER", "REDIS_DB")
    bare = {"REDIS_HOST": "other", "REDIS_DB": "3", "REDIS_PASSWORD": "x"}

    def found(**own: str) -> dict[str, str]:
        return gather({**bare, **own}, known, env_file=None, secrets_dir=None).values

    assert found(ROTA_REDIS_URL="redis://one") == {"REDIS_URL": "redis://one"}
    assert found(ROTA_REDIS_HOST="one", REDIS_URL="redis://x") == {**bare, "REDIS_HOST": "one"}
    assert found(ROTA_REDIS_URL="redis://one", ROTA_REDIS_DB="1") == {
        "REDIS_URL": "redis://one",
        "REDIS_DB": "1",
    }


@pytest.mark.parametrize("mark", ["'", '"'])
def test_quotes_around_a_value_of_the_environment_are_a_problem(tmp_path: Path, mark: str) -> None:
    assert problems({"REDIS_URL": f"{mark}redis://one{mark}"}) == [
        "REDIS_URL stands in quotes, which are part of the value here; leave them out"
    ]
    assert problems({"HEALTH_FILE": f"{mark}a{mark} {mark}b{mark}"}) == []
    assert problems({"REDIS_PASSWORD": f"{mark}a{mark}"}) == []
    file = written(tmp_path, ".env", f"REDIS_URL={mark}redis://one{mark}\n")
    assert values({}, env_file=file) == {"REDIS_URL": "redis://one"}


def test_production_may_be_said_with_the_prefix(tmp_path: Path) -> None:
    file = written(tmp_path, ".env", "MAX_ATTEMPTS=9\n")
    assert prefixed({"ROTA_APP_ENV": "production", "APP_ENV": "staging"}, file) == {"APP_ENV": "production"}
    assert prefixed({"ROTA_APP_ENV": "test", "APP_ENV": "production"}, file)["MAX_ATTEMPTS"] == "9"


def test_a_misspelt_name_with_the_prefix_is_a_problem() -> None:
    assert problems({"ROTA_REDIS_ULR": "x"}) == ["ROTA_REDIS_ULR is not known; did you mean ROTA_REDIS_URL?"]
    assert problems({"ROTA_IMAGE": "x", "ROTA_SERVICE_HOST": "x", "ROTA_REDIS_PORT": "tcp://x"}) == []
