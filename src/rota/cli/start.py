"""`rota`, and `python -m rota` with arguments: it loads the command that is asked for."""

import gc
import importlib.util
import sys
from importlib.machinery import ModuleSpec


def main() -> None:
    """Run a command. `enqueue` is loaded alone: shells call it in loops."""
    # What imports make is there to stay, and the collector would walk through it. `rota.cli.program` turns it on again.
    gc.disable()
    if sys.argv[1:2] != ["enqueue"]:
        import rota.cli.main  # noqa: PLC0415 - all commands

        rota.cli.main.main()
        return
    # redis-py imports it for logins by a token, and with it all of `cryptography`: a sixth of the start.
    sys.meta_path.insert(0, _Later("jwt"))
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
