"""Every variable that can be set: read once, checked as a whole, with an error that says what to change."""
