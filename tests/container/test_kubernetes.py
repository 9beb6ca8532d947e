"""The pods of the manifests for Kubernetes, run by this engine: ready by their probes, at work, stopped gently."""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rota.model.access.keys import Scope, make
from tests.container.engine import Engine
from tests.container.pods import Place, Running
from tests.container.stack import wait_until
from tests.template.kubernetes.built import SECRETS, build, named, take_in, way, with_secrets

KEY, STORED = make(frozenset({Scope.ADMIN}))
#: Asks the API for a job that rests, from where it runs; prints the status and what was answered.
REST = """
import json, sys, urllib.request, urllib.error
url, key, seconds, wait = sys.argv[1:]
headers = {"Content-Type": "application/json", "Prefer": f"wait={wait}"}
headers |= {"Authorization": f"Bearer {key}"} if key else {}
body = json.dumps({"payload": {"seconds": float(seconds)}}).encode()
try:
    answer = urllib.request.urlopen(urllib.request.Request(url + "/jobs/default:rest", body, headers))
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, json.load(answer)]))
"""


@dataclass(frozen=True)
class Cluster:
    """The overlay of production, all its pods, with the Redis of the example, and the example's API beside them."""

    overlay: Path
    pods: dict[str, Running]
    example: Running


def asked(
    pod: Running, url: str, key: str = "", seconds: float = 0.0, wait: int = 60
) -> tuple[int, dict[str, str]]:
    """Let a pod ask the API for a job, and wait for that; return the status and the answer."""
    status, answer = json.loads(pod.python(REST, url, key, str(seconds), str(wait)))
    return status, answer


@pytest.fixture(scope="module")
def cluster(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run the pods, and yield them when all are ready."""
    folder = tmp_path_factory.mktemp("cluster")
    changed = {"REDIS_URL": "redis://rota-redis:6379/0", "API_KEYS": STORED.stored()}
    overlay = with_secrets(folder, **changed) / "overlays" / "production"
    take_in(overlay / "kustomization.yaml", ("name: rota-app",))
    production, example = tuple(build(overlay)), way("example")
    network = f"rota-test-{secrets.token_hex(4)}"
    engine.docker("network", "create", network)
    started: list[Running] = []
    try:
        place = Place(engine, network, folder / "production", image)
        started.append(place.start(example, named(example, "StatefulSet", "rota-redis")))
        names = ("rota-worker", "rota-api", "rota-exporter")
        started += [place.start(production, named(production, "Deployment", name)) for name in names]
        beside = Place(engine, network, folder / "example", image)
        started.append(beside.start(example, named(example, "Deployment", "rota-api")))
        for one in started:
            one.until_ready()
        yield Cluster(overlay, dict(zip(("rota-redis", *names), started, strict=False)), started[-1])
    finally:
        engine.ran("rm", "--force", "--volumes", *(one.id for one in started))
        engine.ran("network", "rm", network)


def test_a_job_is_enqueued_by_the_api_and_run_by_the_worker(cluster: Cluster) -> None:
    status, job = asked(cluster.pods["rota-api"], "http://localhost:8000", KEY)
    assert (status, job["status"]) == (200, "COMPLETED")
    # And nothing of it without the key.
    status, _ = asked(cluster.pods["rota-api"], "http://localhost:8000")
    assert status == 401


def test_the_doctor_has_nothing_against_it(cluster: Cluster) -> None:
    worker = cluster.pods["rota-worker"]
    asked = worker.engine.ran("exec", worker.id, "rota", "doctor")
    assert asked.returncode == 0, asked.stdout


def test_an_image_is_checked_with_the_settings_and_secrets_of_production(
    cluster: Cluster, engine: Engine, image: str
) -> None:
    files = ("--env-file", "rota.env", "--volume", f"{cluster.overlay}/secrets:/run/secrets:ro")
    checked = ("run", "--rm", "--user", str(os.getuid()), *files, image, "rota", "list")
    # The guide has the same.
    assert "default:rest" in engine.docker(*checked, cwd=cluster.overlay).replace(" ", ":")
    settings = cluster.overlay / "rota.env"
    settings.write_text("QUEUE_CONCURENCY=10\n", "utf-8")
    wrong = engine.ran(*checked, cwd=cluster.overlay)
    assert wrong.returncode == 2
    assert "QUEUE_CONCURENCY" in wrong.stderr


def test_each_pod_finds_its_secrets_and_no_others(cluster: Cluster) -> None:
    found = {
        name: pod.python("import os; print(*sorted(n for n in os.listdir('/run/secrets') if n[0] != '.'))")
        for name, pod in cluster.pods.items()
        if name != "rota-redis"
    }
    assert found == {
        "rota-worker": "REDIS_URL SMTP_PASSWORD",
        "rota-api": "API_KEYS REDIS_URL",
        "rota-exporter": "REDIS_URL",
    }
    read = cluster.pods["rota-worker"].python("print(open('/run/secrets/SMTP_PASSWORD').read())")
    assert read == SECRETS["SMTP_PASSWORD"]


def test_the_example_needs_no_key_from_within_its_pod_and_lets_no_other_in(cluster: Cluster) -> None:
    # `kubectl port-forward` comes from there.
    status, job = asked(cluster.example, "http://localhost:8000")
    assert (status, job["status"]) == (200, "COMPLETED")
    page = "import urllib.request as u; print(u.urlopen('http://localhost:8000/ui/').read().decode())"
    assert "default" in cluster.example.python(page)
    address = cluster.example.engine.docker(
        "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", cluster.example.id
    )
    status, _ = asked(cluster.pods["rota-exporter"], f"http://{address}:8000")
    assert status in (401, 421)


def test_a_worker_that_is_stopped_finishes_its_job_and_the_others_end_at_once(cluster: Cluster) -> None:
    status, job = asked(cluster.pods["rota-api"], "http://localhost:8000", KEY, seconds=3.0, wait=0)
    assert status == 202
    worker = cluster.pods["rota-worker"]
    wait_until(lambda: job["id"] in worker.engine.ran("logs", worker.id).stderr, "the job runs")
    assert worker.stop() == 0
    redis = cluster.pods["rota-redis"]
    result = redis.engine.docker("exec", redis.id, "redis-cli", "exists", f"arq:result:{job['id']}")
    assert result == "1"
    assert [cluster.pods[name].stop() for name in ("rota-api", "rota-exporter")] == [0, 0]
