"""How jobs lie in Redis: keys, envelopes, and the Lua scripts that change them in one step."""
