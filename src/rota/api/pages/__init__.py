"""The dashboard: pages that show what the routes answer, and act by forms."""
