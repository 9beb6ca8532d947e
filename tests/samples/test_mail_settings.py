"""The variables for mail: what each does, and the sentence for each that cannot work."""

from pathlib import Path

import pytest

from jobs.samples.mail_settings import MailSettingsError, load

HOST = {"SMTP_HOST": "mail.example.org", "SMTP_FROM": "shop@example.org"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave no variable, no `.env` and no secrets."""
    for name in ("APP_ENV", "SECRETS_DIR", "SMTP_HOST", "SMTP_PORT", "SMTP_TLS", "SMTP_FROM"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> "SetEnv":
    return SetEnv(monkeypatch)


class SetEnv:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)


def test_without_variables_there_is_no_mail_server() -> None:
    settings = load()
    assert settings.host is None
    assert not settings.in_production


def test_the_environment_says_whether_this_is_production(setenv: SetEnv) -> None:
    setenv(APP_ENV="production")
    assert load().in_production


@pytest.mark.parametrize(("tls", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_the_port_follows_from_the_tls_unless_set(setenv: SetEnv, tls: str, port: int) -> None:
    setenv(**HOST, SMTP_TLS=tls)
    assert load().port_in_use == port
    setenv(SMTP_PORT="2525")
    assert load().port_in_use == 2525


def test_mail_is_encrypted_unless_tls_is_set_to_none(setenv: SetEnv) -> None:
    setenv(**HOST)
    assert load().tls == "starttls"


def test_a_password_does_not_show(setenv: SetEnv) -> None:
    setenv(**HOST, SMTP_USERNAME="shop", SMTP_PASSWORD="canary")
    settings = load()
    assert settings.password is not None
    assert settings.password.get_secret_value() == "canary"
    assert "canary" not in repr(settings)


def test_a_password_comes_from_a_file(setenv: SetEnv, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    setenv(**HOST, SMTP_USERNAME="shop", SMTP_PASSWORD_FILE=str(tmp_path / "password"))
    settings = load()
    assert settings.password is not None
    assert settings.password.get_secret_value() == "from a file"


def test_a_password_comes_from_the_folder_of_secrets(setenv: SetEnv, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "smtp_password").write_text("a secret\n")
    setenv(**HOST, SMTP_USERNAME="shop", SECRETS_DIR=str(secrets))
    settings = load()
    assert settings.password is not None
    assert settings.password.get_secret_value() == "a secret"


def test_a_variable_wins_over_a_secret_and_a_secret_over_dot_env_which_counts_as_written(
    setenv: SetEnv, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("SMTP_PASSWORD=ab$cd${HOME}\nSMTP_USERNAME=shop\nSECRETS_DIR=elsewhere\n")
    setenv(**HOST)
    found = [load().password]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "SMTP_PASSWORD").write_text("of the folder\n")
    setenv(SECRETS_DIR=str(tmp_path / "secrets"))
    found.append(load().password)
    setenv(SMTP_PASSWORD="of the environment")
    found.append(load().password)
    said = [one and one.get_secret_value() for one in found]
    assert said == ["ab$cd${HOME}", "of the folder", "of the environment"]


def test_variables_in_dot_env_count_in_development_and_not_in_production(
    setenv: SetEnv, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "SMTP_HOST=localhost\nSMTP_FROM=me@example.org\nREDIS_URL=redis://elsewhere\n"
    )
    assert load().host == "localhost"
    setenv(APP_ENV="production")
    assert load().host is None


def test_what_kubernetes_injects_for_a_service_named_smtp_is_ignored(setenv: SetEnv) -> None:
    setenv(**HOST, SMTP_PORT="tcp://10.0.0.1:25", SMTP_SERVICE_HOST="10.0.0.1", SMTP_SERVICE_PORT="25")
    setenv(SMTP_PORT_25_TCP="tcp://10.0.0.1:25", SMTP_PORT_25_TCP_ADDR="10.0.0.1")
    assert load().port_in_use == 587


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({**HOST, "SMTP_PORT": "0"}, r"^SMTP_PORT: .*greater than or equal to 1"),
        ({**HOST, "SMTP_PORT": "smtp"}, r"^SMTP_PORT: .*integer"),
        ({**HOST, "SMTP_TLS": "ssl"}, r"^SMTP_TLS: .*'starttls', 'tls' or 'none'"),
        ({**HOST, "SMTP_USERNAME": "shop"}, "^SMTP_USERNAME and SMTP_PASSWORD go together"),
        ({**HOST, "SMTP_PASSWORD": "canary"}, "^SMTP_USERNAME and SMTP_PASSWORD go together"),
        ({**HOST, "SMTP_PASSWORD_FILE": "/nowhere"}, "^SMTP_PASSWORD_FILE names a file that cannot be read$"),
        (
            {**HOST, "SMTP_USERNAME": "a", "SMTP_PASSWORD": "canary", "SMTP_PASSWORD_FILE": __file__},
            "^SMTP_PASSWORD and SMTP_PASSWORD_FILE are both set; keep one of them$",
        ),
        ({"SMTP_HOST": "mail.example.org"}, "^SMTP_HOST is set, but SMTP_FROM is not"),
        ({"SMTP_HOST": " "}, "^SMTP_HOST is set but empty; give it a value or unset it$"),
        ({**HOST, "SMTP_FROM": ""}, "^SMTP_FROM is set but empty"),
        ({**HOST, "SMTP_FROM": "the shop"}, r"^SMTP_FROM: must be an address, shop@example.org or"),
        ({**HOST, "SMTP_FROM": "shop@example.org\nBcc: all@example.org"}, r"^SMTP_FROM: must be an address"),
        ({**HOST, "SMTP_USER": "shop"}, "^SMTP_USER is not known; did you mean SMTP_USERNAME"),
        ({**HOST, "SMTP_PASS": "canary"}, "^SMTP_PASS is not known; did you mean SMTP_PASSWORD"),
    ],
)
def test_a_wrong_variable_is_named_in_one_sentence(
    setenv: SetEnv, variables: dict[str, str], sentence: str
) -> None:
    setenv(**variables)
    with pytest.raises(MailSettingsError, match=sentence) as wrong:
        load()
    assert len(str(wrong.value).splitlines()) == 1
    assert "canary" not in str(wrong.value)
