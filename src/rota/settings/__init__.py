"""Every variable that can be set: read once, checked as a whole, with a complaint that says what to change."""
