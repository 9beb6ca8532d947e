"""Traces: how they travel with jobs, and how OpenTelemetry and Sentry are told of them."""
