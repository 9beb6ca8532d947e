import pytest

from rota.model.state import OutcomeKind, State


def test_the_states_are_the_words_of_the_api() -> None:
    assert [str(state) for state in State] == [
        "waiting",
        "delayed",
        "active",
        "completed",
        "dead",
        "cancelled",
    ]


def test_the_outcomes_are_the_words_of_the_metrics() -> None:
    words = ["completed", "retried", "snoozed", "dead", "cancelled", "interrupted", "lost"]
    assert [str(kind) for kind in OutcomeKind] == words


def test_only_ends_are_final() -> None:
    ends = {"completed", "dead", "cancelled"}
    assert {str(state) for state in State if state.is_final} == ends
    assert {str(kind) for kind in OutcomeKind if kind.is_final} == ends


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.WAITING, "PENDING"),
        (State.DELAYED, "PENDING"),
        (State.ACTIVE, "RUNNING"),
        (State.COMPLETED, "COMPLETED"),
        (State.DEAD, "FAILED"),
        (State.CANCELLED, "CANCELLED"),
    ],
)
def test_a_row_has_its_own_word_for_each_state(state: State, word: str) -> None:
    sql = state.SQL
    assert sql == word
