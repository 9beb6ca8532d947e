"""Open dashboards, as browsers have them, in a process of their own: `python -m benchmarks.visitors URL COUNT`.

The key is read from the first line of the standard input. Each dashboard listens on its page's stream, and asks for the
page again when the stream says so, at most once a second.
"""

import asyncio
import itertools
import sys

import httpx2

#: What a browser says of a form that the page itself sends.
OWN = {"Sec-Fetch-Site": "same-origin"}
#: The pages that are open, by turns.
_PAGES = ("/", "/queues", "/jobs?queue=bench&state=waiting", "/workers")


async def log_in(http: httpx2.AsyncClient, key: str) -> None:
    """Get the cookie of a session for a key. Raises RuntimeError where the key is refused."""
    answer = await http.post("/ui/login", data={"key": key}, headers=OWN)
    if answer.status_code != 303:
        raise RuntimeError(f"the dashboard let nobody in: {answer.status_code}")


async def _show(http: httpx2.AsyncClient, page: str, opened: asyncio.Semaphore) -> None:
    """Keep a page up to date until this is cancelled."""
    async with http.stream("GET", "/ui/live") as stream:
        async for line in stream.aiter_lines():
            if line == ": ready":
                opened.release()
            elif line == "event: changed":
                (await http.get(f"/ui{page}")).raise_for_status()


async def main(url: str, count: int, key: str) -> None:
    """Keep `count` dashboards open until this is cancelled."""
    opened = asyncio.Semaphore(0)
    limits = httpx2.Limits(max_connections=None)
    async with (
        httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as http,
        asyncio.TaskGroup() as group,
    ):
        await log_in(http, key)
        for page in itertools.islice(itertools.cycle(_PAGES), count):
            group.create_task(_show(http, page, opened))
        for _ in range(count):
            await opened.acquire()
        print("open", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.stdin.readline().strip()))
