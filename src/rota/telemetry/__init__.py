"""What is seen from outside: logs, metrics and traces."""
