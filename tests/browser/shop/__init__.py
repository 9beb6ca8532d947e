"""The jobs of a shop, for the browser to look at: some fast, some slow, some that fail until something is repaired."""
