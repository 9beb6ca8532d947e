"""`rota`, and `python -m rota`: it loads what is asked for, and nothing that only other commands need."""

import gc
import importlib.util
import sys
from importlib.machinery import ModuleSpec


def main(*, by_mode: bool = False) -> None:
    """Run a command. Without one, run what MODE says if it goes `by_mode`; else show the help."""
    # What imports make is there to stay. The garbage collector would walk through it at each pass: while it grows,
    # which is a fifth of the time of a boot, and while jobs run. `rota.cli.program` turns it on again.
    gc.disable()
    # redis-py imports it for logins by a token, and with it all of `cryptography`, and clients of HTTP: a sixth of the
    # start of a command, and 9 MB of a worker.
    sys.meta_path.insert(0, _Later("jwt"))
    words = sys.argv[1:]
    # A worker and its kind load no commands: a fifth of their boot, and 4 MB.
    if words == ["worker"] or words[:2] == ["worker", "--parent"] or (by_mode and not words):
        from rota.cli import modes  # noqa: PLC0415

        modes.main()
    elif words[:1] == ["enqueue"]:
        _enqueue()
    else:
        import rota.cli.main  # noqa: PLC0415 - all commands

        rota.cli.main.main()


def _enqueue() -> None:
    """Run `rota enqueue`, which is loaded alone: shells call it in loops."""
    from rota.cli import root  # noqa: PLC0415
    from rota.cli.commands.putting import enqueue  # noqa: PLC0415

    cli = root.new()
    enqueue.add_to(cli)
    root.run(cli)


class _Later:
    """A finder of one module, which is loaded at its first use in place of its first import."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Find the module as it is found without this finder, once."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec
