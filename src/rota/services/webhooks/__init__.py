"""Webhooks at work: the leader makes messages of events, and jobs on every worker deliver them."""
