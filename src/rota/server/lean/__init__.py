"""What a call to Redis does not need left out of redis-py's connections and pools."""
