"""What the tests of the image and of the production stack share: one engine, one clean copy, one build, one stack."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import Engine, NoEngine, here
from tests.container.stack import Stack
from tests.making import as_from_a_terminal

HERE = Path(__file__).parent

FACTS = pytest.StashKey[list[str]]()

as_from_a_terminal()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.container)
            # The first test waits for the engine and the build.
            item.add_marker(pytest.mark.timeout(1800))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    for fact in config.stash.get(FACTS, []):
        terminalreporter.write_line(f"container: {fact}")


@pytest.fixture(scope="session")
def facts(request: pytest.FixtureRequest) -> list[str]:
    """Return the list of lines that are printed when all tests are done."""
    return request.config.stash.setdefault(FACTS, [])


@pytest.fixture(scope="session")
def engine(facts: list[str]) -> Engine:
    try:
        found = here()
    except NoEngine as reason:
        facts.append(f"skipped: {reason}")
        pytest.skip(str(reason))
    facts.append(f"Docker engine {found.version}")
    return found


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a clean copy of this checkout, with the job that these tests enqueue."""
    return with_a_job(copy_checkout(tmp_path_factory.mktemp("checkout")))


class Images:
    """Builds images under tags of their own, and forgets none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tags: list[str] = []

    def build(self, folder: Path, *options: str) -> str:
        """Build the worker's image from `folder`, with more options of `docker build`; its tag."""
        tag = f"rota-test-{secrets.token_hex(4)}"
        self._engine.docker(
            "build", "--file", "Dockerfile.worker", "--tag", tag, *options, ".", cwd=folder, timeout=900
        )
        self._tags.append(tag)
        return tag

    def remove(self) -> None:
        """Remove every one; their layers stay, for the next build."""
        for tag in self._tags:
            self._engine.ran("rmi", "--force", tag)


@pytest.fixture(scope="session")
def images(engine: Engine) -> Iterator[Images]:
    images = Images(engine)
    yield images
    images.remove()


@pytest.fixture(scope="session")
def image(images: Images, checkout: Path) -> str:
    """Build the worker's image from a clean copy."""
    return images.build(checkout)


@pytest.fixture(scope="session")
def stack(engine: Engine, checkout: Path, image: str) -> Iterator[Stack]:
    """Yield the production stack, not up yet; an `.env` as an operator writes it sets few slots and a short lease."""
    (checkout / ".env").write_text("QUEUE_CONCURRENCY=4\nLEASE=5\n")
    stack = Stack(engine, checkout, f"rota-test-{secrets.token_hex(4)}")
    try:
        yield stack
    finally:
        stack.remove()
