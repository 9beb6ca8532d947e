"""How many workers there are, and how many there should be."""
