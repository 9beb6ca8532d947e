"""How enqueues go to Redis: those that meet on their way, together."""
