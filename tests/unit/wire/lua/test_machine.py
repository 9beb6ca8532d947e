"""The scripts against the model of them, with workers, clients and time in any order."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.unit.wire.lua.machine import ScriptsMachine

#: How many runs are tried. FUZZ_EXAMPLES=10000 takes a night.
FUZZING = os.environ.get("FUZZ_EXAMPLES")
EXAMPLES = int(FUZZING or "20")

pytestmark = pytest.mark.timeout(0 if FUZZING else 120)

TestTheScripts = ScriptsMachine.TestCase
TestTheScripts.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40 if FUZZING else 30,
    deadline=None,
    phases=(Phase.generate, Phase.shrink) if FUZZING else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
