"""The form that makes a job."""

from tests.integration.api.pages.visiting import entered, job_path, page, sent
from tests.integration.api.serving import Api


async def test_a_job_is_made_by_a_form_that_knows_its_payload(api: Api) -> None:
    shown = await page(api, "/new?name=email:greet")
    assert "&#34;name&#34;" in shown, "the example or the schema names the argument"
    wrong = await sent(api, "/new", name="email:greet", payload='{"name": 7}')
    assert wrong.status_code == 422
    assert "/payload/name" in wrong.text
    assert "&#34;name&#34;: 7" in wrong.text, "what was written stays in the form"
    assert (await sent(api, "/new", name="email:greet", payload="{")).status_code == 400
    assert (await sent(api, "/new", name="none", payload="{}")).status_code == 404
    answer = await sent(api, "/new", name="email:greet", payload='{"name": "Ann"}', id="own", delay="60")
    assert answer.headers["location"] == "/ui/job?queue=email&id=email%3Aown"
    assert (await api.client.status("email", "own")).payload == {"name": "Ann"}
    again = await page(api, job_path("email", "own"))
    assert "/ui/new?name=email%3Agreet&amp;payload=%7B%0A%20%20%22name%22%3A%20%22Ann%22%0A%7D" in again


async def test_who_may_not_enqueue_is_shown_no_form(api: Api) -> None:
    await entered(api, "read")
    assert "/ui/new" not in await page(api, "/")
    await page(api, "/new", 403)
    assert (await sent(api, "/new", name="email:greet", payload="{}")).status_code == 403
