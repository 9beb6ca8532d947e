"""What a process needs of its machine: signals, tasks, ports, a small HTTP server, health."""
