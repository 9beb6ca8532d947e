"""Webhooks: who is told of the ends of jobs, where a request may go, and how one is signed."""
