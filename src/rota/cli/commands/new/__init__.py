"""The command that writes a new job with its tests, and the text of both."""
