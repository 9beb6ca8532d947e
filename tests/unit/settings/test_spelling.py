"""A slip in one of our names is found; a name of another program is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.settings.load import Settings
from rota.settings.spelling import distance, near_miss

NAMES = [name.upper() for name in Settings.model_fields]
KNOWN = [*NAMES, *(f"{name}_FILE" for name in NAMES)]


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("QUEUE_CONCURENCY", "QUEUE_CONCURRENCY"),
        ("QUEUES_CONCURRENCY", "QUEUE_CONCURRENCY"),
        ("QUQUE_CONCURRENCY", "QUEUE_CONCURRENCY"),
        ("MAX_ATEMPTS", "MAX_ATTEMPTS"),
        ("MAX_ATTEMPT", "MAX_ATTEMPTS"),
        ("REDIS_URI", "REDIS_URL"),
        ("REDIS_HSOT", "REDIS_HOST"),
        ("REDIS_PASWORD_FILE", "REDIS_PASSWORD_FILE"),
        ("REDIS_SENTINEL", "REDIS_SENTINELS"),
        ("REDIS__URL", "REDIS_URL"),
        ("redis_url", "REDIS_URL"),
        ("WORKER_QUEUE", "WORKER_QUEUES"),
        ("DRAIN_TIMEUOT", "DRAIN_TIMEOUT"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("MDOE", "MODE"),
        ("PAYLOAD_LIMITS", "PAYLOAD_LIMIT"),
        ("BACKOF_JITTER", "BACKOFF_JITTER"),
    ],
)
def test_a_slip_is_told_what_was_meant(slip: str, meant: str) -> None:
    assert near_miss(slip, KNOWN) == meant


@pytest.mark.parametrize(
    "foreign",
    [
        *("NODE", "MODEL", "MODES", "CODE", "mode", "RELEASE", "PLEASE", "LEASES", "LEASED"),
        *("MAX_COST", "MAX_HOST", "MAX_RETRIES", "MIN_ATTEMPTS", "JOB_NAME", "JOB_URL", "BUILD_TIMEOUT"),
        *("ROOT_TIMEOUT", "BOT_TIMEOUT", "BOOK_TIMEOUT", "HOST_TIMEOUT", "TRAIN_TIMEOUT", "POST_TIMEOUT"),
        *("LOGLEVEL", "LOG_FILE", "LOG_DIR", "LOG_PATH", "HEALTH_URL", "APP_NAME", "APP_KEY", "APP_URL"),
        *("REDISHOST", "REDISPORT", "REDIS_TLS_URL", "REDIS_SERVICE_HOST", "REDIS_URL_2", "REDIS_DB1"),
        *("POD_NAMESPACE", "WATCH_NAMESPACE", "CI_JOB_TIMEOUT", "DB_HOST", "PGHOST", "DATABASE_HOST"),
    ],
)
def test_a_name_of_another_program_is_left_alone(foreign: str) -> None:
    assert near_miss(foreign, KNOWN) is None


@given(st.sampled_from([name for name in NAMES if len(name) > 8]), st.data())
def test_two_neighbours_that_changed_places_are_always_found(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 2))
    slip = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if "_" in slip[at : at + 2] or slip in KNOWN:
        return
    assert near_miss(slip, KNOWN) is not None


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("same", "same", 0),
        ("abcd", "acbd", 1),
        ("ca", "abc", 3),
        ("kitten", "sitting", 3),
    ],
)
def test_distance_counts_letters_added_dropped_replaced_and_swapped(one: str, other: str, slips: int) -> None:
    assert distance(one, other) == distance(other, one) == slips
