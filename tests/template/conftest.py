"""What tests of the template share: versions of this repository, a project of the first, and a shop with workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.making import as_from_a_terminal
from tests.servers import RedisServer
from tests.template.projects import Origin, make_origin, run
from tests.template.shop import Shop

HERE = Path(__file__).parent

as_from_a_terminal()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # Environments are set up, and pip may have to fetch what is in them.
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return make_origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="session")
def project(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with the answers that most will give, and set it up."""
    made = origin.make(tmp_path_factory.mktemp("projects") / "shop-jobs", project_name="Jobs of the shop")
    run("make", "setup", cwd=made)
    return made


@pytest.fixture
def shop(tmp_path: Path, capfd: pytest.CaptureFixture[str], server: RedisServer) -> Iterator[Shop]:
    found = Shop(tmp_path, capfd, server)
    yield found
    for worker in found.workers:
        worker.close()
    with server.client() as client:
        client.config_set("maxmemory", 0)
