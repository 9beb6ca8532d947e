"""The screen of what all of it stands on."""
