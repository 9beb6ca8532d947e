"""The id of a job's trace, from the headers of its payload."""

import pytest

from rota.model.trace import renewed, trace_id

ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{ID}-b7ad6b7169203331-01"},
        {"traceparent": f"01-{ID}-b7ad6b7169203331-00-what a later version adds"},
        {"traceparent": f" 00-{ID.upper()}-B7AD6B7169203331-01 "},
        {"sentry-trace": f"{ID}-b7ad6b7169203331"},
        {"sentry-trace": f"{ID}-b7ad6b7169203331-1"},
        {"sentry-trace": f"{ID}-b7ad6b7169203331-0", "traceparent": "broken"},
        {"traceparent": f"00-{ID}-b7ad6b7169203331-01", "sentry-trace": f"{'1' * 32}-b7ad6b7169203331-1"},
    ],
)
def test_the_id_is_read_from_either_header(headers: dict[str, str]) -> None:
    assert trace_id(headers) == ID


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"baggage": f"sentry-trace_id={ID}"},
        {"traceparent": ""},
        {"traceparent": ID},
        {"traceparent": f"ff-{ID}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{ID[:-1]}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{ID}-b7ad6b7169203331-01\njob.completed forged=1"},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"sentry-trace": f"{ID}-b7ad6b7169203331-2"},
        {"sentry-trace": f"{ID[:-1]}g-b7ad6b7169203331-1"},
    ],
)
def test_missing_or_malformed_headers_give_no_trace(headers: dict[str, str]) -> None:
    assert trace_id(headers) == ""


def test_what_is_sent_for_another_job_keeps_its_headers_but_for_a_trace_of_its_own() -> None:
    before = {"sentry-trace": "old", "baggage": "old", "tenant": "acme"}
    assert renewed(before, {}) == before
    assert renewed(before, {"tenant": "other"}) == {**before, "tenant": "other"}
    assert renewed(before, {"traceparent": "new"}) == {"traceparent": "new", "tenant": "acme"}
