"""Handlers off the event loop: plain functions in threads, and those that would keep it busy in child processes."""
