"""The history of queues in Redis: what a process has counted is sent there, and what all have sent is read."""
