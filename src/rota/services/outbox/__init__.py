"""What the leader does for outboxes: it sends their rows to Redis, and sends again what Redis has lost."""
