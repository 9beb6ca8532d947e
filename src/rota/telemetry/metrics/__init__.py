"""Metrics: the list of series, what is counted for them, and the page that a scrape returns."""
