"""Sentry: the trace of a job, and the report of its failure."""
