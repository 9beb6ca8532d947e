"""The lists of jobs, and the search."""

import pytest

from tests.integration.api.pages.visiting import greet, page
from tests.integration.api.serving import Api


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=dead", "state needs a queue"),
        ("status=FAILED", "DATABASE_URL is not set"),
        ("queue=email&state=dead&cursor=xyz", "the cursor is not one of this list"),
        ("limit=0", "greater than or equal to 1"),
        ("more=1", "Extra inputs"),
    ],
)
async def test_a_list_that_cannot_be_is_said_in_a_page(api: Api, query: str, says: str) -> None:
    answer = await api.http.get(f"/ui/jobs?{query}")
    assert answer.status_code in (200, 422)
    assert says in answer.text


async def test_a_search_leads_to_queues_and_jobs(api: Api) -> None:
    handle = await api.client.enqueue(greet)
    for text, path in (("email", "/ui/queues/email"), (handle.id, f"/ui/job?queue=email&id={handle.id}")):
        assert (await api.http.get(f"/ui/search?q={text}")).headers["location"] == path
    assert "Nothing is called" in await page(api, "/search?q=none")
