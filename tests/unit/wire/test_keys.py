"""Keys: arq's spelling for arq's keys, and ours around the queue's name."""

from dataclasses import fields

from arq import constants

from rota.wire import keys
from rota.wire.keys import QueueKeys, queue_key


def test_arqs_keys_are_spelt_as_arq_spells_them() -> None:
    assert constants.job_key_prefix == keys.JOB
    assert constants.result_key_prefix == keys.RESULT
    assert constants.retry_key_prefix == keys.RETRY
    assert constants.in_progress_key_prefix == keys.IN_PROGRESS
    assert constants.abort_jobs_ss == keys.ABORT
    assert f"{constants.default_queue_name}:" == keys.QUEUE


def test_our_keys_hang_on_the_name_of_the_queue() -> None:
    own = QueueKeys.of(queue_key("email"))
    assert own.queue == "arq:queue:email"
    for field in fields(QueueKeys):
        assert getattr(own, field.name).startswith(own.queue)


def test_no_two_keys_of_a_queue_are_one() -> None:
    own = QueueKeys.of(queue_key("email"))
    spelt = [getattr(own, field.name) for field in fields(QueueKeys)]
    assert len(set(spelt)) == len(spelt)


def test_a_queue_cannot_be_named_as_a_key_of_arqs_default_queue() -> None:
    default = QueueKeys.of(constants.default_queue_name)
    suffixes = {
        getattr(default, field.name).removeprefix(f"{default.queue}:")
        for field in fields(QueueKeys)
        if field.name != "queue"
    }
    assert suffixes <= keys.RESERVED
    assert constants.health_check_key_suffix.removeprefix(":") in keys.RESERVED
