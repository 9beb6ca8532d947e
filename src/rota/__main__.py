"""`python -m rota`: the same as the `rota` command; without arguments it starts what MODE says."""

from rota.cli.main import main

main(by_mode=True)
