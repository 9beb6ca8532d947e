"""Claims due jobs into free slots and keeps their leases; knows nothing of what a job means."""
