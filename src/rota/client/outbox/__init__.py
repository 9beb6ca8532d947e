"""What an application does to enqueue jobs within a transaction of its own."""
