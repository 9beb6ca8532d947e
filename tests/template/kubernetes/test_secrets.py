"""Secrets: each reaches the pods that need it and no others, as a file of its variable; a rotated one is a roll-out."""

import base64
import json
import re
from pathlib import Path

import pytest

from rota.settings.load import load
from tests.template.kubernetes.built import (
    ROOT,
    SECRETS,
    WAYS,
    Resource,
    build,
    named,
    of_rota,
    plain,
    secrets_of,
    take_in,
    way,
    with_secrets,
)

FULL = way("keda-prometheus")
REACHES = {
    "rota-worker": {"rota", "rota-app", "rota-postgres"},
    "rota-worker-reports": {"rota", "rota-app", "rota-postgres"},
    "rota-api": {"rota", "rota-api", "rota-postgres"},
    "rota-exporter": {"rota"},
}


@pytest.mark.parametrize("name", REACHES)
def test_a_pod_has_the_secrets_that_it_needs(name: str) -> None:
    reaching = secrets_of(named(FULL, "Deployment", name))
    assert {plain(secret) for secret in reaching} == REACHES[name]
    generated = {one["metadata"]["name"] for one in FULL if one["kind"] == "Secret"}
    assert reaching <= generated


def test_the_guide_says_the_same() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    said = dict(re.findall(r"(?m)^\| `(rota[a-z-]*)` \| ([^|]+) \|", page))
    words = {
        "every process": set(REACHES),
        "workers": {"rota-worker", "rota-worker-reports"},
        "the API": {"rota-api"},
    }
    for secret, reaches in said.items():
        pods = set().union(*(words[word] for word in reaches.strip().split(", ")))
        assert pods == {name for name, secrets in REACHES.items() if secret in secrets}
    assert said.keys() == set().union(*REACHES.values())


def files_of(deployment: Resource, built: tuple[Resource, ...], folder: Path) -> Path:
    """Write what a pod finds in /run/secrets into a folder; return that."""
    for name in secrets_of(deployment):
        for secret in built:
            if (secret["kind"], secret["metadata"]["name"]) == ("Secret", name):
                for variable, value in secret["data"].items():
                    (folder / variable).write_bytes(base64.b64decode(value))
    return folder


def test_the_settings_find_them_there(tmp_path: Path) -> None:
    worker = named(FULL, "Deployment", "rota-worker")
    (mount,) = (
        one
        for one in worker["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        if one["name"] == "secrets"
    )
    # Where SECRETS_DIR is when nothing sets it.
    assert (mount["mountPath"], mount["readOnly"]) == ("/run/secrets", True)
    found = load({"APP_ENV": "production", "SECRETS_DIR": str(files_of(worker, FULL, tmp_path))})
    assert found.redis_url is not None
    assert found.redis_url.get_secret_value() == SECRETS["REDIS_URL"]
    assert found.database_url is not None
    assert (tmp_path / "SMTP_PASSWORD").read_text() == SECRETS["SMTP_PASSWORD"]
    assert not (tmp_path / "API_KEYS").exists()


def test_the_api_finds_its_keys_there(tmp_path: Path) -> None:
    api = named(FULL, "Deployment", "rota-api")
    found = load({"APP_ENV": "production", "SECRETS_DIR": str(files_of(api, FULL, tmp_path))})
    (key,) = found.api_keys or ()
    assert key.stored() == SECRETS["API_KEYS"]


@pytest.mark.parametrize(
    ("file", "rolled"),
    [
        ("REDIS_URL", set(REACHES)),
        ("SMTP_PASSWORD", {"rota-worker", "rota-worker-reports"}),
        ("API_KEYS", {"rota-api"}),
        ("DATABASE_URL", {"rota-worker", "rota-worker-reports", "rota-api"}),
    ],
)
def test_a_rotated_secret_rolls_out_the_pods_that_have_it(
    tmp_path: Path, file: str, rolled: set[str]
) -> None:
    overlay, options = WAYS["keda-prometheus"]
    folder = with_secrets(tmp_path) / "overlays" / overlay
    take_in(folder / "kustomization.yaml", options)
    (folder / "secrets" / file).write_text("rotated", "utf-8")
    after = of_rota(tuple(build(folder)))
    changed = {
        name
        for name, one in of_rota(FULL).items()
        if one["spec"]["template"] != after[name]["spec"]["template"]
    }
    assert changed == rolled


def test_a_changed_setting_rolls_out_all(tmp_path: Path) -> None:
    folder = with_secrets(tmp_path) / "overlays" / "production"
    (folder / "rota.env").write_text("QUEUE_CONCURRENCY=11\n", "utf-8")
    after = of_rota(tuple(build(folder)))
    for name, one in of_rota(way("production")).items():
        assert one["spec"]["template"] != after[name]["spec"]["template"]


def test_no_secret_is_in_the_files() -> None:
    example = [one for one in way("example") if one["kind"] == "Secret"]
    values = [base64.b64decode(text).decode() for one in example for text in one["data"].values()]
    assert values == ["redis://rota-redis:6379/0"]
    for name in WAYS:
        outside = [one for one in way(name) if one["kind"] != "Secret"]
        text = json.dumps(outside)
        assert not [value for value in SECRETS.values() if value in text]
