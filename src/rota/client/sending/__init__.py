"""How jobs go to Redis: as drafts, and those that meet on their way together."""
