"""`python -m rota`: the same as the `rota` command; without arguments it starts what MODE says."""

import gc

# What imports make is there to stay. The garbage collector would walk through it at each pass: while it grows, which is
# a fifth of the time of a boot, and while jobs run.
gc.disable()

from rota.cli.main import main  # noqa: E402 - after the line above, which is about it

gc.freeze()
gc.enable()

main(by_mode=True)
