"""What commands do to many jobs at once, and the commands that show what was done."""
