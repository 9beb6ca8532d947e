"""Jobs to read, to run and to copy from, with all that they need; only the demo and `tests/samples` use this folder."""
