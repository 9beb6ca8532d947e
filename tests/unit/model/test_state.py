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
