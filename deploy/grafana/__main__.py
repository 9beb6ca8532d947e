"""Writes dashboards/*.json, which Grafana is provisioned with: python -m deploy.grafana"""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.fleet import fleet
from deploy.grafana.job import job
from deploy.grafana.queue import queue
from deploy.grafana.redis import redis

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"fleet": fleet, "queue": queue, "job": job, "redis": redis}


def written(name: str) -> str:
    """Return the text of a dashboard's file."""
    built = DASHBOARDS[name]().build()
    for number, panel in enumerate(built.panels or [], 1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(written(name), "utf-8")
