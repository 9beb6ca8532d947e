"""The scripts that the leader of a deployment calls, as Python calls them."""
