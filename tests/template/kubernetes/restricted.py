"""The restricted pod security standard, as Kubernetes' admission judges a pod."""

from typing import Any

_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret", "name"),
}


def offences(pod: dict[str, Any]) -> list[str]:
    """Return what the standard forbids of the spec of a pod."""
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    found += [f"volume {kind}" for volume in pod.get("volumes", []) for kind in volume.keys() - _VOLUMES]
    for one in [*pod.get("initContainers", []), *pod["containers"]]:
        # What a container says goes before what its pod says.
        found += _of_container(one, {**pod.get("securityContext", {}), **one.get("securityContext", {})})
    return found


def _of_container(one: dict[str, Any], context: dict[str, Any]) -> list[str]:
    capabilities = context.get("capabilities", {})
    judged = {
        "runAsNonRoot": context.get("runAsNonRoot") is True,
        "runAsUser": context.get("runAsUser") != 0,
        "seccompProfile": context.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
        "privileged": not context.get("privileged"),
        "capabilities": capabilities.get("drop") == ["ALL"]
        and set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
        "procMount": context.get("procMount", "Default") == "Default",
        "hostPort": not any(port.get("hostPort") for port in one.get("ports", [])),
    }
    return [f"{one['name']}: {name}" for name, is_right in judged.items() if not is_right]
