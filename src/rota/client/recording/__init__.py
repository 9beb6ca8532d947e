"""What a client does in a test environment: it checks and records what is enqueued, and connects to nothing."""
