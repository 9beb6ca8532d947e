"""What is around every enqueue of a client, and of the stages of a flow, or is told what it created."""

from rota.seams import Sender
from rota.telemetry.metrics.enqueued import ENQUEUED
from rota.telemetry.tracing import otel, relay
from rota.telemetry.tracing.sentry import sentry

#: Outermost first; those of a jobs package and of an application come within them.
SENDERS: tuple[Sender, ...] = (
    sentry.EnqueueTracer(),
    otel.EnqueueTracer(),
    relay.HeaderSender(),
    ENQUEUED,
)
