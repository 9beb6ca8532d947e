"""Puts the rooms together; the lives of processes."""
