"""Live updates: what happens to jobs, sent to those who listen."""
