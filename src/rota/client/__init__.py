"""What an application does: enqueue jobs, wait for them, look at them, cancel them, replay dead ones."""
