"""rota and its peers side by side, each with packages of its own: `python -m benchmarks.peers` runs it."""
