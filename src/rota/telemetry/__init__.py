"""Logs, metrics and traces: how a process is seen from outside."""
