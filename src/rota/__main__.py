"""`python -m rota`: the same as the `rota` command; without arguments it starts what MODE says."""

import gc
import sys

# What imports make is there to stay. The garbage collector would walk through it at each pass: while it grows, which is
# a fifth of the time of a boot, and while jobs run. `rota.cli.program` turns it on again.
gc.disable()

# A mode loads nothing that only commands need: it would be a fifth of its boot.
if sys.argv[1:] and sys.argv[1:3] != ["worker", "--parent"]:
    import rota.cli.start

    rota.cli.start.main()
else:
    import rota.cli.modes

    rota.cli.modes.main()
