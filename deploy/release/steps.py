"""The steps of a deploy: what is needed runs, the image is checked, its containers start, the old ones stop."""

import json
from collections.abc import Callable, Mapping, Sequence

from deploy.release.engine import Failed, Project, Service, attempt, run, said
from deploy.release.rollout import Rollout
from deploy.release.saying import say, step

#: The service whose image is deployed.
WORKER = "worker"


def fetch(image: str) -> None:
    """Pull an image, unless it is here. Raises Failed."""
    if attempt("docker", "image", "inspect", image).returncode:
        with step("pull", image):
            run("docker", "pull", "--quiet", image)


def release(
    project: Project, services: Mapping[str, Service], within: float, keep: Callable[[], None]
) -> None:
    """Deploy the project's image to all services that run it; `keep` is called when the new containers are well.

    Raises Failed, and then the containers that ran before do still run.
    """
    ours = [one for one in services.values() if one.image == services[WORKER].image]
    _prepare(project, [one.name for one in services.values() if one.serves and one not in ours])
    _check(project, [one.name for one in ours if not one.serves])
    ours = [one for one in ours if one.serves]
    rollout = Rollout(project, ours, within)
    try:
        rollout.create()
        # Those with a port come last: they are away for a moment.
        for service in sorted(ours, key=lambda one: one.has_port):
            with step("start", _change(service, rollout)):
                rollout.start(service)
        keep()
    except BaseException:
        with step("undo", "the new containers are stopped and removed"):
            rollout.undo()
        raise
    _finish(rollout)


def _change(service: Service, rollout: Rollout) -> str:
    old, new = len(rollout.old[service.name]), len(rollout.new[service.name])
    return f"{service.name}: {new}" + (
        f" {'in place of' if service.has_port else 'beside'} {old}" if old else ""
    )


def _prepare(project: Project, others: Sequence[str]) -> None:
    """Start what does not run yet of all else, such as Redis."""
    away = [name for name in others if not any(one.runs for one in project.containers(name))]
    if not away:
        return
    with step("start", ", ".join(away)):
        try:
            project.compose("up", "--detach", "--no-recreate", "--wait", *away)
        except Failed as error:
            wrote = project.compose("logs", "--no-color", "--no-log-prefix", "--tail", "5", *away)
            raise Failed(f"{error}\n{wrote}") from None


def _check(project: Project, before: Sequence[str]) -> None:
    """Run what runs to its end before others start, and let `rota doctor` look at the release, each in a container.

    Raises Failed where jobs would not run.
    """
    once = ("run", "--rm", "--no-deps", "-T")
    with step("check", "settings, jobs, Redis, database"):
        for name in before:
            ran = project.attempt(*once, name)
            if ran.returncode:
                raise Failed(_errors(ran.stdout) or said(ran))
        ran = project.attempt(*once, WORKER, "rota", "doctor", "--quick", "--json")
        try:
            findings = json.loads(ran.stdout)
        except ValueError:
            raise Failed(said(ran)) from None
        if ran.returncode:
            raise Failed("\n".join(_lines(findings, "error")))
    for line in _lines(findings, "warning"):
        say(f"          {line}")


def _errors(table: str) -> str:
    """Return the errors of a table of `rota doctor`: a line for each finding, its columns apart by tabs."""
    rows = (line.split("\t") for line in table.splitlines())
    return "\n".join(f"{row[0]}: {row[-1]}" for row in rows if row[1:2] == ["error"])


def _lines(findings: Sequence[Mapping[str, str]], level: str) -> list[str]:
    return [f"{one['about']}: {one['said']}" for one in findings if one["level"] == level]


def _finish(rollout: Rollout) -> None:
    old = sum(map(len, rollout.old.values()))
    if not old:
        return
    try:
        with step("stop", f"{old} old, when what they run is finished"):
            rollout.finish()
    except KeyboardInterrupt:
        say("The new release runs. What is left of the old one goes with the next `make deploy`.")
        raise
