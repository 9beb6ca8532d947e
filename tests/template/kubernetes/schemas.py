"""What we know of resources that are not Kubernetes' own: the fields that we write, as their definitions have them.

Small on purpose, and closed: a field that is not here is an error, as a misspelt one is with the real definitions.
"""

from typing import Any


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0}
NUMBER_TEXT = {"type": "string", "pattern": r"^\d+(\.\d+)?$"}
DURATION = {"type": "string", "pattern": r"^([0-9]+(ms|[smhdwy]))+$"}
NAMES = {"type": "object", "additionalProperties": TEXT}
METADATA = closed(("name",), name=TEXT, labels=NAMES, namespace=TEXT)
SELECTOR = closed(("matchLabels",), matchLabels=NAMES)


def resource(api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    head = {"apiVersion": {"const": api}, "kind": {"const": kind}}
    return closed((*head, "metadata", "spec"), **head, metadata=METADATA, spec=spec)


TRIGGERS = {
    "prometheus": closed(
        ("serverAddress", "query", "threshold"),
        serverAddress=TEXT,
        query=TEXT,
        threshold=NUMBER_TEXT,
        ignoreNullValues={"enum": ["true", "false"]},
    ),
    "metrics-api": closed(
        ("url", "valueLocation", "targetValue"), url=TEXT, valueLocation=TEXT, targetValue=NUMBER_TEXT
    ),
}

SCALED_OBJECT = resource(
    "keda.sh/v1alpha1",
    "ScaledObject",
    closed(
        ("scaleTargetRef", "triggers"),
        scaleTargetRef=closed(("name",), name=TEXT),
        minReplicaCount=WHOLE,
        maxReplicaCount=WHOLE,
        pollingInterval=WHOLE,
        fallback=closed(
            ("failureThreshold", "replicas"),
            failureThreshold=WHOLE,
            replicas=WHOLE,
            behavior={
                "enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
            },
        ),
        # What is in it is the HPA's own, and is checked as that.
        advanced=closed(horizontalPodAutoscalerConfig=closed(behavior={"type": "object"})),
        triggers={
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    closed(("type", "metadata"), type={"const": kind}, metadata=metadata)
                    for kind, metadata in TRIGGERS.items()
                ]
            },
        },
    ),
)

POD_MONITOR = resource(
    "monitoring.coreos.com/v1",
    "PodMonitor",
    closed(
        ("selector", "podMetricsEndpoints"),
        selector=SELECTOR,
        podMetricsEndpoints={
            "type": "array",
            "minItems": 1,
            "items": closed(("port",), port=TEXT, path=TEXT, interval=DURATION),
        },
    ),
)

_RULE = {
    "oneOf": [
        closed(("record", "expr"), record={"type": "string", "pattern": r"^[a-zA-Z_:][\w:]*$"}, expr=TEXT),
        closed(
            ("alert", "expr"),
            alert={"type": "string", "pattern": r"^[a-zA-Z_]\w*$"},
            expr=TEXT,
            labels=NAMES,
            annotations=NAMES,
            **{"for": DURATION},
        ),
    ]
}
PROMETHEUS_RULE = resource(
    "monitoring.coreos.com/v1",
    "PrometheusRule",
    closed(
        ("groups",),
        groups={
            "type": "array",
            "items": closed(
                ("name", "rules"), name=TEXT, rules={"type": "array", "minItems": 1, "items": _RULE}
            ),
        },
    ),
)

SCHEMAS = {"ScaledObject": SCALED_OBJECT, "PodMonitor": POD_MONITOR, "PrometheusRule": PROMETHEUS_RULE}
