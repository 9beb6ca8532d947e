"""The arguments of arq's worker, which `QueueWorker` takes too, and shows; also those that read and write its jobs."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from arq.worker import Worker

from rota.wire.envelopes import job_deserializer, job_serializer

Init = TypeVar("Init", bound=Callable[..., None])

#: Where `pickle.loads` says that it comes from.
PICKLE = {"pickle", "_pickle"}

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


def unpickles(arq: Mapping[str, Any]) -> bool:
    """Tell whether a worker with these arguments unpickles its jobs, as arq does unless told otherwise."""
    given = arq.get("job_deserializer")
    return given is None or getattr(given, "__module__", None) in PICKLE


def without_pickles(arq: Mapping[str, Any]) -> dict[str, Any]:
    """Return these arguments with rota's pair, which is JSON, in the place of pickle."""
    if not unpickles(arq):
        return dict(arq)
    return {**arq, "job_serializer": job_serializer, "job_deserializer": job_deserializer}
