"""Redis as the queue needs it: there, with memory to spare, and keeping what it is given."""

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.board import add_rows, board
from deploy.grafana.panels import NARROW, Panels, graph, number, rows
from deploy.grafana.promql import NAMESPACE, WINDOW, count, increase, least, most

USED, LIMIT = most("arq_redis_memory_used_bytes"), most("arq_redis_memory_max_bytes")
EVICTED = f'max (increase(arq_redis_evicted_keys_total{{namespace=~"{NAMESPACE}"}}[{WINDOW}]))'


def redis() -> dashboard.Dashboard:
    """Make the dashboard `rota-redis`, with all its panels."""
    made = board("rota-redis", "Redis", "Whether jobs are safe where they are kept.")
    add_rows(made, ("Now", _now()), ("Over time", _graphs()))
    return made


def _now() -> Panels:
    return [
        number(
            "Redis",
            "short",
            "Whether the exporter reaches it.",
            least("arq_redis_up"),
            fine=1,
            said={"0": "down", "1": "up"},
        ),
        number(
            "Memory",
            "percentunit",
            "Of what it may use. Full, it refuses new jobs; running ones can still be settled.",
            f"{USED} / ({LIMIT} > 0)",
            orange=0.8,
            red=0.95,
        ),
        number(
            "Set up",
            "short",
            "Whether all checks of its settings pass. The table below says which do not.",
            least("arq_redis_config_ok"),
            fine=1,
            said={"0": "unsafe", "1": "safe"},
        ),
        number(
            "Keys thrown away",
            "short",
            "Since it started. Any at all: its eviction policy is wrong, and jobs may be lost.",
            most("arq_redis_evicted_keys_total"),
            red=1,
        ),
        number("Jobs kept", "short", "In all queues and states.", count("arq_queue_jobs")),
        number(
            "Figures are from",
            "s",
            "How long ago the fleet was last read in full.",
            f"time() - {most('arq_exporter_last_success_timestamp_seconds')}",
            orange=60,
            red=120,
        ),
    ]


def _graphs() -> Panels:
    return [
        graph(
            "Memory",
            "bytes",
            "Used, and the limit (0: none). What waits takes most of it: look at the queues that have grown.",
            (USED, "used"),
            (LIMIT, "limit"),
        ),
        graph(
            "Jobs by state",
            "short",
            "Where the memory is. Dead letters are kept with their payloads until DEAD_RETENTION.",
            (count("arq_queue_jobs", "state"), "{{state}}"),
            stacked=True,
        ),
        graph(
            "Keys thrown away",
            "short",
            "Keys evicted since the last point. It has to be zero.",
            (EVICTED, "evicted"),
        ),
        graph(
            "Reached again",
            "short",
            "Outages as the processes saw them, each counted when it was over.",
            (increase("arq_redis_reconnects_total", "instance"), "{{instance}}"),
            span=NARROW * 3,
        ),
        rows(
            "Settings",
            "1 where a setting is as it should be; docs/alerts.md says what to set (RotaRedisUnsafe).",
            [("As it should be", "bool_yes_no", least("arq_redis_config_ok", "check"))],
            ["check"],
        ),
    ]
