"""An execution and a run, as a handler off the loop gets them."""

from typing import Any

from rota.engine.execution import Execution
from rota.model.run import Run
from rota.wire.claims import Claim


def execution() -> Execution:
    claim = Claim(id="1", token="t", payload=b"{}", attempt=1, due_ms=0, started_ms=0)
    running = Execution(claim)
    running.enter()
    return running


def run(**fields: Any) -> Run:
    return Run(id="1", job="greet", queue="default", **fields)
