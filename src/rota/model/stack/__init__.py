"""Where a running job is: its stack."""
