"""The page of figures, docs/performance.md, and its plots: `python -m benchmarks.performance` writes both from records.

It needs matplotlib and nothing else beside the standard library, and so has an environment of its own, which
`make performance` makes.
"""
