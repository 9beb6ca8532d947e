"""The Redis server: its address, the connections to it, the check that rota can use it, and its faults."""
