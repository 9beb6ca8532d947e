"""Events: one word for each thing that happens to a job."""

import pytest

from rota.model.event import Event, EventType
from rota.model.state import OutcomeKind


def test_every_way_in_which_an_attempt_ends_is_an_event_of_the_same_word() -> None:
    assert {kind.value for kind in OutcomeKind} <= {known.value for known in EventType}


def test_a_subscriber_cannot_change_what_the_others_are_told() -> None:
    event = Event(EventType.STARTED, "email", "1", "send", 1)
    with pytest.raises(AttributeError):
        event.attempt = 2  # type: ignore[misc]
