"""What a handler logs, on its way into the log of its job."""
