"""The first screen: in words, then in figures."""

from tests.integration.api.pages.visiting import greet, page
from tests.integration.api.serving import Api


async def test_a_first_visitor_is_shown_how_to_make_a_job(api: Api) -> None:
    assert "rota enqueue email:fails" in await page(api, "/")


async def test_the_first_line_says_in_words_how_all_of_it_stands(api: Api) -> None:
    await api.client.enqueue(greet)
    assert "has 1 job and no worker that serves it: start one" in await page(api, "/")
    await api.client.pause("email")
    assert "is paused, and 1 job waits for it to be resumed" in await page(api, "/")
    await api.client.cancel_all("email")
    await api.client.enqueue(greet.options(delay=60))
    assert "On time." in await page(api, "/")
