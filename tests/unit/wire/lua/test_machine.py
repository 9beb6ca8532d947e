"""The scripts against a model of them, with workers, clients and time in any order."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.unit.wire.lua.machine import ProtocolMachine

#: How many stories are told; FUZZ_EXAMPLES=10000 makes a night of it.
FUZZING = os.environ.get("FUZZ_EXAMPLES")
EXAMPLES = int(FUZZING or "20")

pytestmark = pytest.mark.timeout(0 if FUZZING else 120)

TestTheProtocol = ProtocolMachine.TestCase
TestTheProtocol.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40 if FUZZING else 30,
    deadline=None,
    phases=(Phase.generate, Phase.shrink) if FUZZING else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
