"""Single containers of the image, without a stack around them."""

from tests.container.engine import Engine

#: The options of orchestrators that confine containers.
CONFINED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
REDIS = ("--env", "REDIS_URL=redis://redis:6379/0")


def inside(engine: Engine, image: str, code: str, *options: str) -> str:
    """Run Python code in a container of the image, and return what it prints."""
    return engine.docker("run", "--rm", "--interactive", *options, image, "python", "-", stdin=code)
