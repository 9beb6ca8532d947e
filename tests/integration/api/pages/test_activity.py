"""The screen of what was done by hand."""

from tests.integration.api.pages.visiting import Seen, page, sent
from tests.integration.api.serving import Api


async def test_what_was_done_by_hand_is_listed_with_who_and_why(api: Api) -> None:
    assert "Nothing was done by hand" in await page(api, "/activity")
    for number in range(51):
        await sent(api, "/queues/email/pause", reason=f"because of {number}")
    first = await page(api, "/activity")
    assert "because of 50" in first
    assert "because of 0<" not in first
    older = next(link for link in Seen(first).links if "before=" in link)
    assert "because of 0<" in await page(api, older.removeprefix("/ui"))
