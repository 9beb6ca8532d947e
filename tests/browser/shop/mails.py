"""Mails to customers, fast and many."""

import asyncio

from rota import Run, every, job


@job(queue="email")
async def welcome(run: Run, *, to: str, name: str = "") -> str:
    """Greet a customer who has come for the first time."""
    await asyncio.sleep(0.02)
    return f"sent to {to}"


@job(queue="email", priority=5)
async def order_confirmation(run: Run, *, to: str, order: int) -> str:
    """Tell a customer that an order has come in."""
    run.log.info("order.confirmed", extra={"order": order})
    await asyncio.sleep(0.03)
    return f"sent to {to}"


@every("1h", name="digest")
@job(queue="email")
async def digest(run: Run) -> str:
    """Send everybody who wants it what is new."""
    await asyncio.sleep(0.05)
    return "212 mails"
