"""The log of a job as values: its lines, and the text that shows them."""
