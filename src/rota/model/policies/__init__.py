"""How a job may run: when it is retried, how many may start or run at once, which are the same."""
