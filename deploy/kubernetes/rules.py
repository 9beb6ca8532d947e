"""Writes prometheusrule.yaml from the rules of Prometheus on Compose: there is one list of alerts."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
MADE = Path(__file__).parent / "components" / "monitoring" / "prometheusrule.yaml"
HEAD = """\
# Made from deploy/prometheus/rules.yml: change that, then `make rules`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: rota
  labels: {app.kubernetes.io/name: rota}
spec:
"""


def written() -> str:
    """Return the text of the rules' file."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))
    body = yaml.safe_dump(groups, sort_keys=False, width=100, allow_unicode=True)
    return HEAD + "".join(f"  {line}\n" for line in body.splitlines())


if __name__ == "__main__":
    MADE.write_text(written(), "utf-8")
