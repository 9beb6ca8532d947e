"""Payments, which go through a bank that is away while a file named by SHOP_AWAY is there."""

import asyncio
import os
from pathlib import Path

from rota import Cancel, Run, fixed, job


class BankAway(Exception):
    """Raised while the bank cannot be reached."""


class WrongAmount(Exception):
    """Raised for an amount that cannot be charged."""


def is_away() -> bool:
    """Tell whether the bank cannot be reached at the moment."""
    return Path(os.environ.get("SHOP_AWAY", "/nowhere")).exists()


@job(queue="billing", max_attempts=2, backoff=fixed(0.05))
async def charge(run: Run, *, customer: str, cents: int) -> dict[str, int | str]:
    """Take an amount from the account of a customer."""
    await asyncio.sleep(0.005)
    if cents <= 0:
        raise WrongAmount(f"an amount of {cents} cents cannot be charged")
    if is_away():
        raise BankAway("connection to bank.example:443 refused")
    return {"customer": customer, "charged": cents}


@job(queue="billing")
async def refund(run: Run, *, customer: str, cents: int) -> str:
    """Pay back what a customer has paid."""
    if not customer:
        raise Cancel("no customer to pay back to")
    return f"{cents} cents to {customer}"
