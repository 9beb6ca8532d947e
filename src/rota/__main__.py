"""`python -m rota`: the same as the `rota` command; without arguments it starts what MODE says."""

import rota.cli.start

rota.cli.start.main(by_mode=True)
