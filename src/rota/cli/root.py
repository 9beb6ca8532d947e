"""What is around every command: the version, the help, and how its errors end the program."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from rota.cli import screen
from rota.cli.program import all_loaded, program


def new() -> typer.Typer:
    """Return a command line without commands."""
    cli = typer.Typer(
        invoke_without_command=True,
        no_args_is_help=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    cli.callback()(_root)
    return cli


def run(cli: typer.Typer, status_of_help: int = 0) -> None:
    """Run the command that the arguments of the process name; without one show the help, and exit with that status."""
    all_loaded()
    with program():
        cli(obj=status_of_help)


def _say_version(asked: bool) -> None:
    if asked:
        try:
            screen.say(f"rota {version('rota')}")
        except PackageNotFoundError:
            screen.say("rota, not installed: it runs from its source")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="say which rota this is")
    ] = False,
) -> None:
    """rota: background jobs on arq and Redis. `python -m rota` alone starts what MODE says."""
    if ctx.invoked_subcommand is not None:
        return
    typer.echo(ctx.get_help())
    raise typer.Exit(ctx.obj)
