"""The YAML files of the repository, read by libyaml where it is there: PyYAML's own reader takes ten times as long.

Every process of a test run reads them as it collects the tests.
"""

import re
from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Return the only document of a file."""
    return yaml.load(path.read_text("utf-8"), _LOADER)


def filled(value: object) -> str:
    """Return a value of a Compose file as it is where no variable is set: `330` for `${DRAIN_TIMEOUT:-330}`."""
    return re.sub(r"\$\{\w+:-([^{}]*)\}", r"\1", str(value))


def read_all_yaml(path: Path) -> list[Any]:
    """Return the documents of a file that may have several."""
    return list(yaml.load_all(path.read_text("utf-8"), _LOADER))
