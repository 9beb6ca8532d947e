"""What makes a failover of Sentinel lose nothing, and all connections follow it."""
