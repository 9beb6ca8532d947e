"""The probes of a worker process: what they answer while its services begin and end."""

import json

from rota import Run, job
from rota.app.probes import Probes
from rota.engine.keeper import LeaseKeeper
from rota.engine.leases import Leases
from rota.settings.load import load
from tests.unit.engine.renewals import Connection
from tests.workers import registry_of


@job(queue="email")
async def greet(run: Run) -> None: ...


def test_a_job_that_runs_on_another_queue_is_counted_there_by_its_name() -> None:
    probes = Probes(load({"METRICS_PORT": "off"}), registry_of((greet,)), [])
    for name in ("greet", "stranger"):
        probes.subscriber.started("bulk", name, [0.1])
    found = {labels for labels, _ in probes.subscriber._started()}
    assert found == {("email", "greet"), ("bulk", "greet"), ("bulk", "other")}


def test_what_runs_is_said_with_the_version_of_the_code() -> None:
    probes = Probes(load({"METRICS_PORT": "off", "APP_VERSION": "1.4.2"}), registry_of(()), [])
    page = probes._metrics()("").body.decode()
    assert 'app_version="1.4.2"' in next(line for line in page.splitlines() if "build_info{" in line)


async def test_a_process_starts_until_its_lease_keeper_has_begun_and_is_not_well_once_that_has_ended() -> (
    None
):
    probes = Probes(load({"METRICS_PORT": "off"}), registry_of(()), [])
    keeper = LeaseKeeper(Leases(Connection, interval=1.0))

    def health() -> tuple[int, str]:
        reply = probes.healthz()
        return reply.status, json.loads(reply.body)["status"]

    with probes.watching(keeper):
        answers = [health()]
        keeper.start()
        answers.append(health())
        keeper.stop()
        answers.append(health())
    assert answers == [(200, "starting"), (200, "ok"), (503, "no lease keeper")]
