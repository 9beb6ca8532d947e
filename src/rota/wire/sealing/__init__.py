"""Seals: how payloads and results are signed, and encrypted, for those who share a ring of keys."""
