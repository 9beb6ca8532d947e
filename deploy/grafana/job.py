"""One job, as in `@job`: how often it runs, how long, and how it ends."""

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.board import add_rows, board
from deploy.grafana.panels import PER_SECOND, WIDE, Panels, graph, number, spread
from deploy.grafana.promql import NAMESPACE, QUEUE, TASK, WINDOW, buckets, quantile, rate

CHOSEN = f'{{namespace=~"{NAMESPACE}",queue=~"{QUEUE}",task=~"{TASK}"}}'
FAILED = f"max by (task) (100 * queue_task:arq_jobs_failed:ratio15m{CHOSEN})"
RUNS = f"sum by (task) (rate(arq_job_duration_seconds_sum{CHOSEN}[{WINDOW}]))"


def job() -> dashboard.Dashboard:
    """Make the dashboard `rota-job`, with all its panels."""
    made = board("rota-job", "Job", "What a job's code does: rates, outcomes, durations.", "queue", "task")
    add_rows(made, ("Now", _now()), ("How it ends", _ends()), ("How long it takes", _takes()))
    return made


def _now() -> Panels:
    started = rate("arq_jobs_started_total", queue=QUEUE, task=TASK)
    dead = rate("arq_jobs_finished_total", queue=QUEUE, task=TASK, outcome="dead")
    return [
        number("Started", PER_SECOND, "Attempts that start.", started),
        number(
            "Fail",
            "percent",
            "Of the worst job: attempts that failed within 15 minutes.",
            f"max({FAILED})",
            orange=5,
            red=20,
        ),
        number(
            "Become dead letters",
            PER_SECOND,
            "Jobs that are given up.",
            f"{dead} or vector(0)",
            orange=0.0001,
        ),
        *(
            number(
                f"Duration p{part * 100:g}",
                "s",
                f"{part * 100:g} % of the attempts are as short as that.",
                quantile(part, "arq_job_duration_seconds", queue=QUEUE, task=TASK),
            )
            for part in (0.5, 0.95)
        ),
        number(
            "Wait p95",
            "s",
            "From due to started, for 95 % of the attempts.",
            quantile(0.95, "arq_job_wait_seconds", queue=QUEUE, task=TASK),
        ),
    ]


def _ends() -> Panels:
    return [
        graph(
            "Outcomes",
            PER_SECOND,
            "What its attempts came to. Retried becomes dead when the attempts are spent.",
            (rate("arq_jobs_finished_total", "outcome", queue=QUEUE, task=TASK), "{{outcome}}"),
            stacked=True,
        ),
        graph(
            "Failures",
            "percent",
            "Of the attempts that the job's own code ended within 15 minutes. Above 20 there is an alert.",
            (FAILED, "{{task}}"),
        ),
        graph(
            "Enqueued",
            PER_SECOND,
            "By processes that are scraped.",
            (rate("arq_jobs_enqueued_total", "task", queue=QUEUE, task=TASK), "{{task}}"),
        ),
        graph(
            "Started",
            PER_SECOND,
            "Attempts, first ones and repeated ones.",
            (rate("arq_jobs_started_total", "task", queue=QUEUE, task=TASK), "{{task}}"),
        ),
    ]


def _takes() -> Panels:
    return [
        graph(
            "Duration, 95 %",
            "s",
            "95 % of the attempts are as short as that. Rising slowly: what the job calls becomes slower.",
            (quantile(0.95, "arq_job_duration_seconds", "task", queue=QUEUE, task=TASK), "{{task}}"),
        ),
        graph(
            "Slots taken",
            "short",
            "Seconds of slots that a job takes each second: so many slots it keeps busy in the mean.",
            (RUNS, "{{task}}"),
            stacked=True,
        ),
        spread(
            "Durations",
            "s",
            "How durations are spread. Two bands: two kinds of work under one name. A band at the timeout: it hangs.",
            buckets("arq_job_duration_seconds", queue=QUEUE, task=TASK),
        ),
        graph(
            "Wait, 95 %",
            "s",
            "From due to started. It is the queue's rather than the job's, unless the job is limited.",
            (quantile(0.95, "arq_job_wait_seconds", "task", queue=QUEUE, task=TASK), "{{task}}"),
            span=WIDE,
        ),
    ]
