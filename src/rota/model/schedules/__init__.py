"""Schedules: when a job runs by the clock, what is written down of that, and which ticks are put on its queue."""
