"""What became of a queue's jobs minute by minute, over three days: counts, percentiles, and when new code came."""
