"""What a running job is doing now: a thread of its own looks, and answers who has asked."""
