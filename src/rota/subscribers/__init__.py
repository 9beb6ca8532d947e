"""Subscribers: one concern a file, `(event) -> None`. See `rota.seams`."""
