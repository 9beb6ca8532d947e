"""What a job is: values and pure decisions, with no I/O and no clock."""
