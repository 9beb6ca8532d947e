"""Every series that rota exports, as data: what a scrape returns, what dashboards show and what alerts watch.

Dashboards and alerts rely on the names: base units, a counter ends in `_total`, and a job's name is the label `task`,
since Prometheus has its own `job`. Series about the fleet are exported once, by the exporter; series about a process by
that process.
"""

from dataclasses import dataclass
from typing import Literal

MetricType = Literal["counter", "gauge", "histogram", "info"]
Scope = Literal["fleet", "process"]

#: Upper bounds of histogram buckets, in the series' unit.
SECONDS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    900.0,
    3600.0,
)
BYTES = (256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0)


@dataclass(frozen=True, slots=True)
class Series:
    """One metric: its name in Prometheus, its type, its help, and the names of its labels."""

    name: str
    type: MetricType
    scope: Scope
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SERIES = (
    # The fleet
    Series("arq_queue_jobs", "gauge", "fleet", "Jobs of a queue in one state.", ("queue", "state")),
    Series(
        "arq_queue_latency_seconds",
        "gauge",
        "fleet",
        "Age of the oldest job that is ready to run.",
        ("queue",),
    ),
    Series(
        "arq_queue_oldest_active_seconds",
        "gauge",
        "fleet",
        "How long the oldest running job runs.",
        ("queue",),
    ),
    Series(
        "arq_queue_workers", "gauge", "fleet", "Worker processes that serve a queue.", ("queue", "status")
    ),
    Series(
        "arq_queue_slots", "gauge", "fleet", "Jobs that all workers of a queue can run at once.", ("queue",)
    ),
    Series("arq_queue_slots_busy", "gauge", "fleet", "Slots in which jobs run.", ("queue",)),
    Series(
        "arq_queue_unknown_jobs",
        "gauge",
        "fleet",
        "Jobs that wait for a worker that knows their name; none that met them did.",
        ("queue",),
    ),
    Series("arq_queue_paused", "gauge", "fleet", "1 while nothing is claimed from the queue.", ("queue",)),
    Series(
        "arq_queue_declared",
        "gauge",
        "fleet",
        "0 for a queue that has jobs or dead letters and that no job and no setting names.",
        ("queue",),
    ),
    Series("arq_queue_slo_seconds", "gauge", "fleet", "Longest acceptable wait of a job.", ("queue",)),
    Series(
        "arq_queue_desired_workers", "gauge", "fleet", "Workers that keep the queue's objective.", ("queue",)
    ),
    Series(
        "arq_cron_next_run_timestamp_seconds",
        "gauge",
        "fleet",
        "When a schedule's next tick is due.",
        ("schedule", "task"),
    ),
    Series(
        "arq_cron_last_success_timestamp_seconds",
        "gauge",
        "fleet",
        "When a job of a schedule last completed.",
        ("schedule", "task"),
    ),
    Series(
        "arq_cron_missed_total",
        "counter",
        "fleet",
        "Ticks of a schedule that did not run as nothing could run them in time.",
        ("schedule", "task"),
    ),
    Series("arq_redis_up", "gauge", "fleet", "1 while Redis answers."),
    Series("arq_redis_memory_used_bytes", "gauge", "fleet", "Memory that Redis uses."),
    Series("arq_redis_memory_max_bytes", "gauge", "fleet", "Memory that Redis may use; 0 is no limit."),
    Series(
        "arq_redis_evicted_keys_total", "counter", "fleet", "Keys that Redis threw away for want of memory."
    ),
    Series(
        "arq_redis_config_ok", "gauge", "fleet", "1 where a setting of Redis is as it should be.", ("check",)
    ),
    Series(
        "arq_exporter_last_success_timestamp_seconds",
        "gauge",
        "fleet",
        "When the fleet was last read in full.",
    ),
    Series(
        "arq_events_lag", "gauge", "fleet", "Entries of the stream of records that no recorder has written."
    ),
    Series("arq_events_lag_seconds", "gauge", "fleet", "Age of the oldest of these entries."),
    Series(
        "arq_records_level",
        "gauge",
        "fleet",
        "What is left out of records for want of memory: 0 nothing, 1 progress, 2 payloads too.",
    ),
    # A process
    Series(
        "arq_jobs_enqueued_total",
        "counter",
        "process",
        "Jobs that this process enqueued, without the later stages of pipelines.",
        ("queue", "task"),
    ),
    Series("arq_jobs_started_total", "counter", "process", "Attempts that started.", ("queue", "task")),
    Series(
        "arq_jobs_finished_total", "counter", "process", "Attempts by outcome.", ("queue", "task", "outcome")
    ),
    Series(
        "arq_jobs_rejected_total", "counter", "process", "Claims that came to nothing.", ("queue", "reason")
    ),
    Series(
        "arq_job_duration_seconds",
        "histogram",
        "process",
        "How long attempts ran.",
        ("queue", "task"),
        SECONDS,
    ),
    Series(
        "arq_job_wait_seconds", "histogram", "process", "From due to started.", ("queue", "task"), SECONDS
    ),
    Series("arq_job_payload_bytes", "histogram", "process", "Size of claimed payloads.", ("queue",), BYTES),
    Series(
        "arq_jobs_recovered_total", "counter", "process", "Lost jobs that were claimed again.", ("queue",)
    ),
    Series("arq_worker_slots", "gauge", "process", "Jobs that this process can run at once.", ("queue",)),
    Series("arq_worker_slots_busy", "gauge", "process", "Slots in which jobs run.", ("queue",)),
    Series("arq_worker_slot_seconds_total", "counter", "process", "Time that slots were busy.", ("queue",)),
    Series("arq_worker_draining", "gauge", "process", "1 while the process drains."),
    Series("arq_leader", "gauge", "process", "1 while the process leads the deployment.", ("role",)),
    Series("arq_worker_log_lines_dropped_total", "counter", "process", "Log lines that nobody read."),
    Series("arq_worker_event_loop_lag_seconds", "gauge", "process", "How late the event loop is."),
    Series(
        "arq_worker_recycled_total", "counter", "process", "Drains to start anew, by reason.", ("reason",)
    ),
    Series("arq_redis_reconnects_total", "counter", "process", "Times that Redis was reached again."),
    Series(
        "arq_records_written_total", "counter", "process", "Rows that this process wrote to the audit table."
    ),
    Series(
        "arq_records_lost_total",
        "counter",
        "process",
        "Entries of records that were gone before they were read.",
    ),
    Series(
        "arq_outbox_waiting",
        "gauge",
        "process",
        "Rows of the outbox that wait to be sent, on the process that leads.",
    ),
    Series("arq_outbox_oldest_seconds", "gauge", "process", "How long the first of these rows waits."),
    Series("arq_outbox_sent_total", "counter", "process", "Rows of the outbox that this process sent."),
    Series(
        "arq_outbox_sent_again_total",
        "counter",
        "process",
        "Rows whose jobs Redis had lost, and that had to be sent again.",
    ),
    Series(
        "arq_outbox_refused_total",
        "counter",
        "process",
        "Rows that are not sent, as their id or unique key is taken, or they are wrong.",
    ),
    Series(
        "arq_build_info", "info", "process", "What runs here.", ("version", "python", "arq", "app_version")
    ),
)

BY_NAME = {series.name: series for series in SERIES}
