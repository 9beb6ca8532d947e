"""Fleets that need a given number of workers."""

from rota.fleet.fleet import FleetNeed, QueueNeed
from rota.fleet.scaling import Load


def need(desired: int, workers: int, *, ready: int = 0, latency: float = 0.0, draining: int = 0) -> FleetNeed:
    """Return a fleet that needs `desired` workers of ten slots, and has `workers`."""
    of_queue = Load(arrivals=desired * 10, job_seconds=1.0, ready=ready, slo=1e15, slots=10)
    one = QueueNeed("email", of_queue, workers, draining, latency, False)
    return FleetNeed((one,), workers, draining)
