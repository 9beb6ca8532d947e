"""The rights of callers of the API."""
