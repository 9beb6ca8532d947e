"""One queue: what waits and for how long, who works on it, and what becomes of it."""

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.board import add_rows, board
from deploy.grafana.panels import PER_SECOND, WIDE, Panels, graph, number, spread
from deploy.grafana.promql import QUEUE, buckets, count, increase, most, quantile, rate, total

IN_SLOTS = (
    f"{rate('arq_worker_slot_seconds_total', 'queue', queue=QUEUE)}"
    f" / {rate('arq_jobs_finished_total', 'queue', queue=QUEUE)}"
)


def queue() -> dashboard.Dashboard:
    """Make the dashboard `rota-queue`, with all its panels."""
    made = board(
        "rota-queue", "Queue", "A queue from arrival to outcome, and whether its workers keep up.", "queue"
    )
    add_rows(
        made,
        ("Now", _now()),
        ("What waits", _waiting()),
        ("What is done", _done()),
        ("Who does it", _workers()),
        ("What goes wrong", _wrong()),
    )
    return made


def _now() -> Panels:
    return [
        number(
            "Oldest waits",
            "s",
            "Age of the oldest job that is ready to run.",
            most("arq_queue_latency_seconds", queue=QUEUE),
        ),
        number("Objective", "s", "The longest acceptable wait.", most("arq_queue_slo_seconds", queue=QUEUE)),
        number(
            "Waiting",
            "short",
            "Ready jobs without a slot.",
            count("arq_queue_jobs", queue=QUEUE, state="waiting"),
        ),
        number(
            "Dead letters",
            "short",
            "Jobs that were given up.",
            count("arq_queue_jobs", queue=QUEUE, state="dead"),
            orange=1,
        ),
        number(
            "Claims",
            "short",
            "A paused queue takes jobs in and hands none out. `rota resume` ends it.",
            most("arq_queue_paused", queue=QUEUE),
            red=1,
            said={"0": "open", "1": "paused"},
        ),
        number(
            "Workers missing",
            "short",
            "How many more are needed than run.",
            f"clamp_min({most('arq_queue_desired_workers', queue=QUEUE)}"
            f" - {most('arq_queue_workers', queue=QUEUE, status='running')}, 0)",
            orange=1,
        ),
    ]


def _waiting() -> Panels:
    return [
        graph(
            "Jobs by state",
            "short",
            "Waiting jobs may run now; delayed ones have their time still to come; active ones run.",
            (count("arq_queue_jobs", "state", queue=QUEUE, state="waiting|delayed|active"), "{{state}}"),
            stacked=True,
        ),
        graph(
            "Oldest waiting job and the objective",
            "s",
            "Age of the oldest ready job. Above the objective is time that the budget pays for.",
            (most("arq_queue_latency_seconds", "queue", queue=QUEUE), "{{queue}}"),
            (most("arq_queue_slo_seconds", "queue", queue=QUEUE), "{{queue}} objective"),
        ),
        graph(
            "Wait of started jobs",
            "s",
            "From due to started. Half of the jobs wait no longer than p50.",
            *(
                (quantile(part, "arq_job_wait_seconds", queue=QUEUE), f"p{part * 100:g}")
                for part in (0.5, 0.95, 0.99)
            ),
        ),
        graph(
            "Longest running job",
            "s",
            "How long the oldest active job has run.",
            (most("arq_queue_oldest_active_seconds", "queue", queue=QUEUE), "{{queue}}"),
        ),
        spread(
            "Waits",
            "s",
            "How the waits of started jobs are spread.",
            buckets("arq_job_wait_seconds", queue=QUEUE),
        ),
    ]


def _done() -> Panels:
    return [
        graph(
            "Enqueued and started",
            PER_SECOND,
            "Enqueued is what scraped processes enqueued; what other clients add shows in the waiting jobs alone.",
            (rate("arq_jobs_enqueued_total", queue=QUEUE), "enqueued"),
            (rate("arq_jobs_started_total", queue=QUEUE), "started"),
        ),
        graph(
            "Outcomes",
            PER_SECOND,
            "What attempts came to.",
            (rate("arq_jobs_finished_total", "outcome", queue=QUEUE), "{{outcome}}"),
            stacked=True,
        ),
        graph(
            "Started by job",
            PER_SECOND,
            "Which jobs take the slots, by number. The page of jobs has them by time.",
            (rate("arq_jobs_started_total", "task", queue=QUEUE), "{{task}}"),
            stacked=True,
        ),
        graph(
            "Slot-seconds a job",
            "s",
            "How long an attempt keeps its slot, in the mean: with the rate of arrivals it makes the workers needed.",
            (IN_SLOTS, "{{queue}}"),
        ),
    ]


def _workers() -> Panels:
    return [
        graph(
            "Workers",
            "short",
            "Who serves the queue, and how many are needed.",
            (most("arq_queue_workers", "status", queue=QUEUE), "{{status}}"),
            (most("arq_queue_desired_workers", queue=QUEUE), "needed"),
        ),
        graph(
            "Slots",
            "short",
            "As the fleet's record has them, and as the processes count them. Apart for long: some are not scraped.",
            (count("arq_queue_slots", queue=QUEUE), "slots"),
            (count("arq_queue_slots_busy", queue=QUEUE), "busy"),
            (total("arq_worker_slots", queue=QUEUE), "slots of scraped processes"),
            (total("arq_worker_slots_busy", queue=QUEUE), "busy in scraped processes"),
        ),
    ]


def _wrong() -> Panels:
    return [
        graph(
            "Dead letters",
            "short",
            "Jobs that were given up and are kept.",
            (count("arq_queue_jobs", "queue", queue=QUEUE, state="dead"), "{{queue}}"),
        ),
        graph(
            "Rejected claims",
            "short",
            "Unknown: no handler of that name, as during a deploy. Unreadable or invalid: a client enqueues nonsense.",
            (increase("arq_jobs_rejected_total", "reason", queue=QUEUE), "{{reason}}"),
        ),
        graph(
            "Taken over from silent workers",
            "short",
            "Jobs whose lease ended with no word from their worker, and that run again on another.",
            (increase("arq_jobs_recovered_total", "queue", queue=QUEUE), "{{queue}}"),
        ),
        graph(
            "Payloads",
            "bytes",
            "Size of claimed payloads. What grows towards PAYLOAD_LIMIT should send a reference instead.",
            *(
                (quantile(part, "arq_job_payload_bytes", queue=QUEUE), f"p{part * 100:g}")
                for part in (0.5, 0.99)
            ),
            span=WIDE // 2,
        ),
    ]
