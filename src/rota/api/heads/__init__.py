"""The heads of requests: what HTTP does not allow is refused before any route sees it."""
