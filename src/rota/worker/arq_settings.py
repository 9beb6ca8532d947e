"""A project's settings for arq's worker (a class, a dictionary, or the dotted path of one), and our worker of them."""

import difflib
import inspect
import logging
from collections.abc import Mapping
from typing import Any

from rota.errors import DiscoveryFailed
from rota.model.registry import imported
from rota.worker.worker import QueueWorker

logger = logging.getLogger("arq.worker")

#: How alike an unknown name must be to one of the arguments, to be taken for a typing error.
ALIKE = 0.85

WorkerSettings = type[Any] | Mapping[str, Any] | str

#: Arguments that are no settings: the service passes them.
INTERNAL = {"policy", "shared"}


def run_worker(settings: WorkerSettings, **arguments: Any) -> QueueWorker:
    """Run a `QueueWorker` with arq's worker settings until it is stopped, and return it closed: arq's `run_worker`.

    `arguments` win over the settings. Raises DiscoveryFailed for a path that leads to none, and what `QueueWorker` and
    `on_startup` raise.
    """
    worker = QueueWorker(**{**arguments_of(settings), **arguments})
    worker.run()
    return worker


def arguments_of(settings: WorkerSettings) -> dict[str, Any]:
    """Return what `settings` have for a `QueueWorker`: a class' inherited attributes too, which arq leaves out.

    Other names are left out, and logged if they look like typing errors. Raises DiscoveryFailed.
    """
    found = named(settings) if isinstance(settings, str) else settings
    known = inspect.signature(QueueWorker).parameters.keys() - INTERNAL
    if isinstance(found, Mapping):
        given = {str(name): value for name, value in found.items()}
    else:
        given = {name: getattr(found, name) for name in dir(found) if not name.startswith("_")}
    for name in given.keys() - known:
        if alike := difflib.get_close_matches(name, known, 1, ALIKE):
            logger.warning("the setting %r is unknown, and was left out; did you mean %r?", name, alike[0])
    return {name: value for name, value in given.items() if name in known}


def named(path: str) -> Any:
    """Return what a dotted path names, such as "app.WorkerSettings". Raises DiscoveryFailed if it cannot be had."""
    module, _, name = path.strip().rpartition(".")
    if not module or not name:
        raise DiscoveryFailed(path, "a path such as app.WorkerSettings is needed: a module, a dot and a name")
    found = imported(module)
    if not hasattr(found, name):
        raise DiscoveryFailed(module, f"it defines no {name}")
    return getattr(found, name)
