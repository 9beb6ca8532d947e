"""The settings of a queue, the queues that a process serves, and the advice about settings that surprise."""

import pytest

from rota.model.policies.backoff import Backoff
from rota.settings.load import ConfigError, load


def test_a_queue_has_the_general_settings_where_it_has_none_of_its_own() -> None:
    queue = load({"MAX_ATTEMPTS": "7", "JOB_TIMEOUT": "1m"}).queue("email")
    assert (queue.name, queue.concurrency, queue.max_attempts) == ("email", 10, 7)
    assert (queue.timeout, queue.keep_result) == (60.0, 3600.0)
    assert queue.backoff == Backoff("exponential", 1.0, 2.0, 3600.0, 0.1)


def test_a_queues_own_settings_win() -> None:
    settings = load(
        {
            **{
                "MAX_ATTEMPTS": "7",
                "QUEUES__VIDEO_X__MAX_ATTEMPTS": "1",
                "QUEUES__VIDEO_X__CONCURRENCY": "2",
            },
            **{"QUEUES__VIDEO_X__BACKOFF": "fixed", "QUEUES__VIDEO_X__BACKOFF_BASE": "0"},
            **{"QUEUES__VIDEO_X__BACKOFF_FACTOR": "3", "QUEUES__VIDEO_X__BACKOFF_MAX": "1m"},
            **{"QUEUES__VIDEO_X__BACKOFF_JITTER": "0", "QUEUES__VIDEO_X__TIMEOUT": "2h"},
            **{"QUEUES__VIDEO_X__KEEP_RESULT": "0"},
        }
    )
    for name in ("video-x", "video_x"):
        queue = settings.queue(name)
        assert (queue.name, queue.concurrency, queue.max_attempts) == (name, 2, 1)
        assert (queue.timeout, queue.keep_result) == (7200.0, 0.0)
        assert queue.backoff == Backoff("fixed", 0.0, 3.0, 60.0, 0.0)
    assert settings.queue("email").max_attempts == 7


def test_where_a_queue_has_an_option_from_is_told_by_the_variable() -> None:
    settings = load(
        {"JOB_TIMEOUT": "1m", "QUEUE_SLO": "9s", "QUEUES__VIDEO_X__SLO": "5s", "BACKOFF": "fixed"}
    )
    assert settings.origin("video-x", "slo") == "QUEUES__VIDEO_X__SLO"
    assert settings.origin("email", "slo") == "QUEUE_SLO"
    assert settings.origin("video-x", "timeout") == "JOB_TIMEOUT"
    assert settings.origin("email", "backoff") == "BACKOFF"
    for option in ("concurrency", "fleet_concurrency", "weight", "keep_result"):
        assert settings.origin("email", option) == "", option


@pytest.mark.parametrize("name", ["Email", "", "a:b", "dead", "1st"])
def test_a_name_that_no_queue_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="queue name"):
        load({}).queue(name)
    with pytest.raises(ConfigError, match="queue name"):
        load({}).served_queues([name])


def test_served_are_the_queues_of_jobs_and_of_variables() -> None:
    settings = load({"QUEUES__EMAIL__CONCURRENCY": "1", "QUEUES__VIDEO_X__CONCURRENCY": "1"})
    assert settings.served_queues(["video-x", "default", "video-x"]) == ("default", "email", "video-x")
    assert settings.served_queues([]) == ("email", "video_x")
    assert load({}).served_queues(["reports"]) == ("reports",)


def test_worker_queues_chooses_among_them() -> None:
    settings = load({"WORKER_QUEUES": "reports,email,reports", "QUEUES__EMAIL__CONCURRENCY": "1"})
    assert settings.served_queues(["reports", "default"]) == ("email", "reports")
    with pytest.raises(ConfigError) as caught:
        settings.served_queues(["default"])
    assert str(caught.value) == "WORKER_QUEUES: there is no queue reports; choose from: default, email"


def test_a_slip_in_the_name_of_a_queue_stops_the_boot() -> None:
    settings = load({"QUEUES__EMIAL__CONCURRENCY": "20"})
    with pytest.raises(ConfigError) as caught:
        settings.served_queues(["email", "default"])
    assert str(caught.value) == (
        "QUEUES__EMIAL__CONCURRENCY names the queue emial, which no job has; did you mean QUEUES__EMAIL__CONCURRENCY? "
        "If not, name the queue in WORKER_QUEUES"
    )
    with pytest.raises(ConfigError):
        settings.known_queues(["email"])


@pytest.mark.parametrize(
    ("ghost", "declared"), [("BULK", "email"), ("EMAIL2", "email"), ("REPORT_B", "report-a"), ("LOW", "law")]
)
def test_a_queue_without_a_job_of_its_own_is_served(ghost: str, declared: str) -> None:
    settings = load({f"QUEUES__{ghost}__CONCURRENCY": "2"})
    assert ghost.lower() in settings.served_queues([declared])


def test_of_a_queue_without_a_job_the_boot_says_that_it_is_served() -> None:
    env = {"QUEUES__BULK__SLO": "1m", "QUEUES__BULK__TIMEOUT": "2"}
    assert load(env).warnings({}, ["bulk", "email"], ["email"]) == [
        "no job declares the queue bulk, which QUEUES__BULK__SLO names: it is served; "
        "WORKER_QUEUES says that this is meant"
    ]
    assert load({**env, "WORKER_QUEUES": "bulk"}).warnings({}, ["bulk"], ["email"]) == []
    assert load(env).warnings({}, ["bulk"], ["bulk"]) == []


def test_worker_queues_says_that_a_queue_is_meant() -> None:
    settings = load({"QUEUES__EMIAL__WEIGHT": "2", "WORKER_QUEUES": "email,emial"})
    assert settings.served_queues(["email"]) == ("email", "emial")
    assert settings.known_queues(["email", "other"]) == ("email", "emial", "other")


def test_a_slip_in_worker_queues_is_said() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no queue emial; did you mean email\? choose from: email"
    ):
        load({"WORKER_QUEUES": "emial"}).served_queues(["email"])


def test_two_queues_with_one_name_in_variables_stop_the_boot() -> None:
    with pytest.raises(ConfigError) as caught:
        load({}).served_queues(["video_x", "video-x", "email"])
    assert str(caught.value) == (
        "the queues 'video-x' and 'video_x' are one in variables, QUEUES__VIDEO_X__…; rename one of them"
    )


def test_the_defaults_need_no_advice() -> None:
    assert load({}).warnings({"quick": 30.0}) == []


def test_a_job_that_outlasts_the_drain_is_warned_of() -> None:
    loaded = load({"APP_ENV": "test"})
    assert loaded.warnings({"video:paint": 300.0, "video:note": 5.0}) == [
        "video:paint (300 s) may run longer than DRAIN_TIMEOUT, 30 s, and would then start again at every deploy"
    ]


def test_in_development_nobody_is_warned_of_a_job_that_outlasts_the_drain() -> None:
    assert load({}).warnings({"video:paint": 300.0}) == []


def test_of_many_jobs_that_outlast_the_drain_the_longest_are_named() -> None:
    timeouts = {f"video:paint-{number}": 300.0 for number in range(65)}
    (warning,) = load({"APP_ENV": "test"}).warnings({**timeouts, "video:film": 7200.0})
    assert warning == (
        "video:film (7200 s), video:paint-0 (300 s), video:paint-1 (300 s) and 63 other jobs "
        "may run longer than DRAIN_TIMEOUT, 30 s, and would then start again at every deploy"
    )


@pytest.mark.parametrize(
    ("env", "start"),
    [
        ({"LEASE": "2"}, "LEASE is 2 s: "),
        ({"LOOP_BLOCK_LIMIT": "20"}, "LOOP_BLOCK_LIMIT is 20 s, shorter than LEASE, 30 s: "),
        ({"UNKNOWN_GRACE": "5"}, "UNKNOWN_DELAY is not shorter than UNKNOWN_GRACE: "),
        ({"REDIS_URL": "rediss://cache?ssl_cert_reqs=none"}, "REDIS_SSL_CERT_REQS is none: "),
        (
            {"WORKER_CONCURRENCY": "20"},
            "WORKER_CONCURRENCY is 20, and the queues of this process run 20 jobs ",
        ),
        ({"QUEUES__EMAIL__WEIGHT": "3"}, "QUEUES__EMAIL__WEIGHT has no effect without WORKER_CONCURRENCY: "),
    ],
)
def test_settings_that_surprise_are_warned_of(env: dict[str, str], start: str) -> None:
    (warning,) = load(env).warnings({}, ["email", "default"])
    assert warning.startswith(start)


def test_a_cap_that_has_an_effect_needs_no_advice() -> None:
    assert load({"WORKER_CONCURRENCY": "19"}).warnings({}, ["email", "default"]) == []


def test_a_job_that_outlasts_the_drain_starts_again_at_every_recycling_too() -> None:
    (warning,) = load({"RECYCLE_AFTER_JOBS": "5", "APP_ENV": "test"}).warnings({"paint": 300.0})
    assert warning.endswith("again at every deploy and recycling")


@pytest.mark.parametrize(
    ("variables", "version", "release"),
    [
        ({}, "", None),
        ({"APP_VERSION": "1.4.2"}, "1.4.2", "1.4.2"),
        ({"SENTRY_RELEASE": "shop@1 beta"}, "shop@1-beta", "shop@1 beta"),
        ({"APP_VERSION": "1.4.2", "SENTRY_RELEASE": "shop@1"}, "1.4.2", "shop@1"),
    ],
    ids=str,
)
def test_the_version_of_the_code_is_said_once(
    variables: dict[str, str], version: str, release: str | None
) -> None:
    settings = load(variables)
    assert (settings.version, settings.sentry_release) == (version, release)


@pytest.mark.parametrize("value", ["1.4 beta", "x" * 101])
def test_a_version_that_cannot_be_one_says_what_it_may_be(value: str) -> None:
    with pytest.raises(ConfigError, match=r"APP_VERSION.*at most 100 characters without spaces"):
        load({"APP_VERSION": value})


def test_a_queue_weighs_1_unless_its_variable_says_more() -> None:
    loaded = load({"QUEUES__EMAIL__WEIGHT": "2.5"})
    assert (loaded.queue("email").weight, loaded.queue("default").weight) == (2.5, 1.0)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("QUEUES__EMAIL__WEIGHT", "0", "a number from 0.01 to 10000"),
        ("WORKER_CONCURRENCY", "0", "a whole number from 1 to 10000"),
        ("RECYCLE_AFTER_JOBS", "0", "a whole number of 1 or more"),
        (
            "RECYCLE_AFTER_MEMORY",
            "0",
            "an amount of memory, written 512MB, 1.5GB or in bytes; a KB is 1024 bytes",
        ),
        (
            "RECYCLE_AFTER_MEMORY",
            "much",
            "an amount of memory, written 512MB, 1.5GB or in bytes; a KB is 1024 bytes",
        ),
    ],
)
def test_a_wrong_one_says_what_it_may_be(name: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({name: value})
    assert str(caught.value) == f"{name} is {value!r}; it must be {reason}"
