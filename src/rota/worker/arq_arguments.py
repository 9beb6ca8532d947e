"""The arguments of arq's worker, which `QueueWorker` takes too, and shows."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from arq.worker import Worker

Init = TypeVar("Init", bound=Callable[..., None])

#: Read once: arq's own tests put `QueueWorker` in `Worker`'s place.
_ARQ = inspect.signature(Worker.__init__)


def showing_arqs(init: Init) -> Init:
    """Give a constructor that passes `**arq` on a signature with arq's arguments.

    arq takes from a class of settings what the signature of the worker names, and nothing else.
    """
    own = inspect.signature(init).parameters
    kept = [one for one in own.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    arqs = [one for one in _ARQ.parameters.values() if one.name not in own]
    places = sorted((*kept, *arqs), key=lambda one: one.kind)
    shown: Any = init
    shown.__signature__ = inspect.Signature(places, return_annotation=None)
    return init
