"""The log of a job as it lies in Redis."""
