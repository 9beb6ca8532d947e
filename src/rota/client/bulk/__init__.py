"""What people do to many jobs at once, and the list of what was done by whom."""
