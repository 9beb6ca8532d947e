"""The first page: is anything wrong, in which queue, and are there enough workers for it?"""

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.board import add_rows, board
from deploy.grafana.panels import PER_SECOND, Panels, graph, number, rows
from deploy.grafana.promql import NAMESPACE, count, increase, least, most, rate, total, worst

ALERTS = f'sum(ALERTS{{alertname=~"Rota.*",alertstate="firing",namespace=~"{NAMESPACE}"}}) or vector(0)'
LATE = f'100 * max by (queue) (queue:arq_queue_late:ratio1h{{namespace=~"{NAMESPACE}"}})'
UP = f'sum by (job) (up{{job=~"rota-.*|.*/rota-.*",namespace=~"{NAMESPACE}"}})'


def fleet() -> dashboard.Dashboard:
    """Make the dashboard `rota-fleet`, with all its panels."""
    made = board(
        "rota-fleet", "Fleet", "All queues and workers. Red is where to look; the other pages say why."
    )
    add_rows(made, ("Now", _now()))
    made.with_panel(
        rows(
            "Queues",
            "One line a queue. Workers below needed for long: the fleet is too small.",
            COLUMNS,
            ["queue"],
        )
    )
    add_rows(
        made,
        ("Is the objective kept?", _objective()),
        ("What is done", _done()),
        ("Workers", _workers()),
        ("Schedules", _schedules()),
        ("Processes", _processes()),
        ("Audit table", _audit()),
    )
    made.with_panel(
        rows(
            "What runs",
            "Processes by version of your code (APP_VERSION), rota, Python and arq. "
            "Two versions for longer than a deploy takes: it has got stuck.",
            [("Processes", "short", total("arq_build_info", "app_version", "version", "python", "arq"))],
            ["app_version", "version", "python", "arq"],
        )
    )
    return made


COLUMNS = [
    ("Waiting", "short", count("arq_queue_jobs", "queue", state="waiting")),
    ("Delayed", "short", count("arq_queue_jobs", "queue", state="delayed")),
    ("Active", "short", count("arq_queue_jobs", "queue", state="active")),
    ("Dead", "short", count("arq_queue_jobs", "queue", state="dead")),
    ("Unknown", "short", most("arq_queue_unknown_jobs", "queue")),
    ("Oldest waits", "s", most("arq_queue_latency_seconds", "queue")),
    ("Objective", "s", most("arq_queue_slo_seconds", "queue")),
    ("Workers", "short", most("arq_queue_workers", "queue", status="running")),
    ("Needed", "short", most("arq_queue_desired_workers", "queue")),
    ("Slots", "short", most("arq_queue_slots", "queue")),
    ("Busy", "short", most("arq_queue_slots_busy", "queue")),
    ("Paused", "bool", most("arq_queue_paused", "queue")),
    ("In the code", "bool_yes_no", least("arq_queue_declared", "queue")),
]


def _now() -> Panels:
    return [
        number(
            "Alerts",
            "short",
            "Alerts that fire now. docs/alerts.md says of each what to do.",
            ALERTS,
            red=1,
        ),
        number(
            "Redis",
            "short",
            "Whether the exporter reaches Redis. Down: nothing is claimed or settled, and running jobs go on.",
            least("arq_redis_up"),
            fine=1,
            said={"0": "down", "1": "up"},
        ),
        number(
            "Figures are from",
            "s",
            "How long ago the fleet was last read in full. Old figures: look at the exporter first.",
            f"time() - {most('arq_exporter_last_success_timestamp_seconds')}",
            orange=60,
            red=120,
        ),
        number(
            "Waiting",
            "short",
            "Jobs that may run and have no slot yet, in all queues.",
            count("arq_queue_jobs", state="waiting"),
        ),
        number(
            "Oldest against objective",
            "percentunit",
            "Of the worst queue: how long its oldest ready job waits, as a part of what is acceptable.",
            f"max({most('arq_queue_latency_seconds', 'queue')} / {most('arq_queue_slo_seconds', 'queue')})",
            orange=0.5,
            red=1,
        ),
        number(
            "Dead letters",
            "short",
            "Jobs that were given up, in all queues, kept to be looked at.",
            count("arq_queue_jobs", state="dead"),
            orange=1,
        ),
    ]


def _objective() -> Panels:
    return [
        graph(
            "Oldest waiting job",
            "s",
            "Age of the oldest job that is ready to run. It rises a second a second where nothing is claimed at all.",
            (most("arq_queue_latency_seconds", "queue"), "{{queue}}"),
        ),
        graph(
            "Time that was late",
            "percent",
            "Part of the last hour in which the oldest job waited longer than the objective. 14.4 is too fast.",
            (LATE, "{{queue}}"),
        ),
        graph(
            "Waiting",
            "short",
            "Ready jobs. Falling is well even from a great height; rising with all slots busy needs workers.",
            (count("arq_queue_jobs", "queue", state="waiting"), "{{queue}}"),
        ),
        graph(
            "Longest running job",
            "s",
            "How long the oldest active job has run. Beyond its timeout it is stuck where it cannot be stopped.",
            (most("arq_queue_oldest_active_seconds", "queue"), "{{queue}}"),
        ),
    ]


def _done() -> Panels:
    return [
        graph(
            "Attempts started",
            PER_SECOND,
            "How fast work begins, by queue.",
            (rate("arq_jobs_started_total", "queue"), "{{queue}}"),
            stacked=True,
        ),
        graph(
            "What attempts came to",
            PER_SECOND,
            "Retried and dead are failures of jobs; lost are workers that went silent; interrupted comes with deploys.",
            (rate("arq_jobs_finished_total", "outcome"), "{{outcome}}"),
            stacked=True,
        ),
    ]


def _workers() -> Panels:
    return [
        graph(
            "Workers and how many are needed",
            "short",
            "Needed above running for 15 minutes: the maximum is too low, or new ones do not start.",
            (most("arq_queue_workers", "queue", status="running"), "{{queue}} running"),
            (most("arq_queue_workers", "queue", status="draining"), "{{queue}} draining"),
            (most("arq_queue_desired_workers", "queue"), "{{queue}} needed"),
        ),
        graph(
            "Busy slots",
            "percentunit",
            "Part of all slots in which jobs run. At 100 % what comes has to wait.",
            (
                f"{most('arq_queue_slots_busy', 'queue')} / ({most('arq_queue_slots', 'queue')} > 0)",
                "{{queue}}",
            ),
        ),
    ]


def _schedules() -> Panels:
    return [
        graph(
            "Next run",
            "s",
            "How long until a schedule's next tick. Below zero: nobody plans, as no worker leads.",
            (f"{most('arq_cron_next_run_timestamp_seconds', 'schedule')} - time()", "{{schedule}}"),
        ),
        graph(
            "Last success",
            "s",
            "How long ago a job of the schedule last completed. Much more than its interval: look at its runs.",
            (f"time() - {most('arq_cron_last_success_timestamp_seconds', 'schedule')}", "{{schedule}}"),
        ),
        graph(
            "Missed ticks",
            "short",
            "Ticks that nothing could run, so far. Growing: workers are away, or too busy.",
            (most("arq_cron_missed_total", "schedule"), "{{schedule}}"),
        ),
    ]


def _audit() -> Panels:
    return [
        graph(
            "Behind",
            "s",
            "Age of the oldest record that is not in the audit table. Rising: the database is away, or nothing leads.",
            (most("arq_events_lag_seconds"), "seconds"),
        ),
        graph(
            "Records that wait",
            "short",
            "Entries that wait in Redis. What is left out near RECORDS_LIMIT: 1 progress, 2 payloads too.",
            (most("arq_events_lag"), "entries"),
            (most("arq_records_level"), "left out"),
        ),
        graph(
            "Rows written",
            PER_SECOND,
            "How fast the audit table is written; a job has several events, and often fewer writes.",
            (rate("arq_records_written_total", "instance"), "{{instance}}"),
        ),
        graph(
            "Records lost",
            "short",
            "Entries that were gone before they were read. The table lacks what they said.",
            (increase("arq_records_lost_total", "instance"), "{{instance}}"),
        ),
        graph(
            "Outbox",
            "short",
            "Rows that applications have committed and that wait to be sent, and for how many seconds the first does.",
            (worst("arq_outbox_waiting"), "rows"),
            (worst("arq_outbox_oldest_seconds"), "seconds"),
        ),
        graph(
            "Outbox: sent",
            "short",
            "Rows that were sent, sent again as Redis had lost their jobs, and refused.",
            (increase("arq_outbox_sent_total", "instance"), "sent {{instance}}"),
            (increase("arq_outbox_sent_again_total", "instance"), "again {{instance}}"),
            (increase("arq_outbox_refused_total", "instance"), "refused {{instance}}"),
        ),
    ]


def _processes() -> Panels:
    return [
        graph(
            "Scraped processes",
            "short",
            "Processes that answered the last scrape. Fewer than workers run: some cannot be reached.",
            (UP, "{{job}}"),
        ),
        graph(
            "Event loop lag",
            "s",
            "How late the event loop is, at worst. Seconds: a job blocks it; the log has the stack (loop.blocked).",
            (worst("arq_worker_event_loop_lag_seconds", "instance"), "{{instance}}"),
        ),
        graph(
            "Processor",
            "percentunit",
            "Of one core. A worker is one thread for the most part: 100 % is all that it can use.",
            (
                f'rate(process_cpu_seconds_total{{job=~".*rota-.*",namespace=~"{NAMESPACE}"}}[$__rate_interval])',
                "{{instance}}",
            ),
        ),
        graph(
            "Memory",
            "bytes",
            "Resident memory. A steady rise is a leak: RECYCLE_AFTER_MEMORY ends a process before the kernel does.",
            (f'process_resident_memory_bytes{{job=~".*rota-.*",namespace=~"{NAMESPACE}"}}', "{{instance}}"),
        ),
        graph(
            "Draining and recycled",
            "short",
            "Processes that drain, and how many of them do so to be restarted, by reason.",
            (total("arq_worker_draining"), "draining"),
            (increase("arq_worker_recycled_total", "reason"), "recycled: {{reason}}"),
        ),
        graph(
            "Redis reached again",
            "short",
            "Outages of Redis as processes saw them. One process alone: its network; all at once: Redis.",
            (increase("arq_redis_reconnects_total", "instance"), "{{instance}}"),
        ),
        graph(
            "Log lines dropped",
            "short",
            "Lines of the log that nobody read in time: what reads stderr stands still, or is too slow.",
            (increase("arq_worker_log_lines_dropped_total", "instance"), "{{instance}}"),
        ),
        graph(
            "Leader",
            "short",
            "Processes that lead: one, but for the moments after it was killed.",
            (total("arq_leader", "role"), "{{role}}"),
        ),
    ]
