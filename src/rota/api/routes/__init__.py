"""The routes of the API, those of one subject in each module."""
