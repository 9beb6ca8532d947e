"""What was enqueued, and what a test is told when it asked for something else."""

from datetime import UTC, datetime, timedelta

import pytest

import rota
from rota import EventType, Run, fixed, job
from rota.model.event import Event
from rota.testing import Bench
from tests.unit.testing.jobs import Deps, child, flaky, send

pytest_plugins = ["rota.testing"]


class TestWhatWasEnqueued:
    async def test_every_enqueue_is_listed_with_its_arguments_typed(self, bench: Bench) -> None:
        on = datetime(2030, 5, 1, tzinfo=UTC)
        handle = await bench.client.enqueue(send.options(delay=60, id="hello"), "a@x", on=on)
        await bench.client.enqueue(child, 1)
        (one,) = bench.enqueued(send)
        assert one.arguments == {"to": "a@x", "on": on}
        assert (one.queue, one.task, one.id) == ("email", "send", handle.id)
        assert one.due - one.at == timedelta(seconds=60)
        assert one.at == bench.now.replace(microsecond=bench.now.microsecond // 1000 * 1000)
        assert [found.task for found in bench.enqueued()] == ["send", "child"]

    async def test_its_headers_are_listed_with_it(self, bench: Bench) -> None:
        with rota.headers(tenant="acme"):
            await bench.client.enqueue(child, 1)
        await bench.client.enqueue(child, 2)
        await bench.drain()
        assert [one.headers for one in bench.enqueued(child)] == [{"tenant": "acme"}, {}]

    async def test_what_has_run_stays_listed(self, bench: Bench) -> None:
        await bench.client.enqueue(child, 1)
        await bench.drain()
        bench.advance(10 * 86400)
        assert [one.arguments for one in bench.enqueued(child)] == [{"number": 1}]
        assert bench.results(child) == [1]

    async def test_the_assertion_compares_what_it_is_given(self, bench: Bench) -> None:
        await bench.client.enqueue(send, "a@x", copies=2)
        await bench.client.enqueue(send, "b@x")
        assert bench.assert_enqueued(send, to="b@x").arguments == {"to": "b@x"}
        assert bench.assert_enqueued(send, copies=2).arguments["to"] == "a@x"
        bench.assert_enqueued(send)

    async def test_a_default_counts_as_given(self, bench: Bench) -> None:
        await bench.client.enqueue(send, "a@x")
        bench.assert_enqueued(send, copies=1)
        with pytest.raises(AssertionError):
            bench.assert_enqueued(send, copies=2)

    async def test_options_are_compared_too(self, bench: Bench) -> None:
        moment = bench.now + timedelta(hours=2)
        await bench.client.enqueue(send.options(delay=60, id="u1", timeout=9, backoff=fixed(3)), "a@x")
        await bench.client.enqueue(child.options(at=moment), 1)
        bench.assert_enqueued(send.options(delay=60, id="u1", timeout=9, backoff=fixed(3)), to="a@x")
        bench.assert_enqueued(child.options(at=moment))
        for wrong in (
            send.options(delay=61),
            send.options(id="u2"),
            send.options(timeout=8),
            send.options(backoff=fixed(4)),
            send.options(at=moment),
        ):
            with pytest.raises(AssertionError):
                bench.assert_enqueued(wrong, to="a@x")

    async def test_the_message_shows_what_was_enqueued_instead(self, bench: Bench) -> None:
        await bench.client.enqueue(send.options(delay=60, id="u1", timeout=9), "a@x")
        with pytest.raises(AssertionError) as caught:
            bench.assert_enqueued(send.options(delay=5), to="b@x")
        assert str(caught.value) == (
            "email:send(to='b@x') with {'delay': 5} was not enqueued; enqueued were:\n"
            "  email:send(to='a@x') in 60 s with {'timeout': 9}, id email:u1"
        )

    async def test_the_message_says_when_nothing_was(self, bench: Bench) -> None:
        with pytest.raises(AssertionError, match=r"default:child\(number=1\) was not enqueued; nothing was"):
            bench.assert_enqueued(child, number=1)

    async def test_a_long_list_is_cut(self, bench: Bench) -> None:
        await bench.client.enqueue_many([child.call(number) for number in range(30)])
        with pytest.raises(AssertionError, match=r"(?s)… 10 before these\n.*number=10\).*number=29\)"):
            bench.assert_enqueued(child, number=99)

    async def test_an_argument_that_the_job_does_not_take_is_a_mistake_of_the_test(
        self, bench: Bench
    ) -> None:
        with pytest.raises(TypeError, match="'too'; it takes: to, copies, on"):
            bench.assert_enqueued(send, too="a@x")

    async def test_a_job_of_another_module_is_found_by_its_value(self, bench: Bench) -> None:
        @job(queue="elsewhere")
        async def foreign(run: Run, x: int) -> None: ...

        await bench.client.enqueue(foreign, 1)
        assert bench.assert_enqueued(foreign, x=1).queue == "elsewhere"
        assert await bench.drain() == 0

    async def test_wrong_payloads_by_name_are_shown_as_they_are(self, bench: Bench) -> None:
        await bench.client.enqueue_by_name("email:send", {"copies": "nonsense"})
        assert bench.enqueued(send)[0].arguments == {"copies": "nonsense"}
        await bench.drain()
        assert [letter.reason for letter in bench.dead] == ["invalid"]


class TestEvents:
    async def test_they_tell_the_life_of_a_job_in_order(self, bench: Bench) -> None:
        await bench.client.enqueue(flaky, good_at=2)
        await bench.drain()
        assert [(event.type.value, event.attempt) for event in bench.events] == [
            ("enqueued", 0),
            ("started", 1),
            ("retried", 1),
            ("started", 2),
            ("completed", 2),
        ]

    async def test_they_are_those_that_subscribers_hear(self) -> None:
        heard: list[Event] = []
        with Bench([send], deps=Deps([]), subscribers=[heard.append]) as bench:
            await bench.client.enqueue(send, "a@x")
            await bench.drain()
            assert [event for event in bench.events if event.type is not EventType.ENQUEUED] == heard
            assert [event.type for event in heard] == [
                EventType.STARTED,
                EventType.PROGRESS,
                EventType.COMPLETED,
            ]


async def test_a_job_is_asked_for_by_its_tenant() -> None:
    with Bench([child]) as bench:
        await bench.client.enqueue(child.options(tenant="acme"), 1)
        bench.assert_enqueued(child.options(tenant="acme"))
        with pytest.raises(AssertionError, match=r"with {'tenant': 'globex'} was not enqueued"):
            bench.assert_enqueued(child.options(tenant="globex"))
