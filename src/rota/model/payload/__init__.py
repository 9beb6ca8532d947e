"""What a job takes and gives: its handler's signature, and its values as JSON."""
