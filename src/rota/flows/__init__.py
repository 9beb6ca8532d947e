"""Pipelines and batches as they run: planned, started, fanned out, looked at."""
