"""The Redis server: where it is, how it is reached, whether it is fit for use, and what is wrong with it."""
