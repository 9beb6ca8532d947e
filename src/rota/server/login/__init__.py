"""The logins on Redis: the user and the password of each new connection."""
