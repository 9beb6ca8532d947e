"""Traces: how they travel with jobs, and how they reach OpenTelemetry and Sentry."""
