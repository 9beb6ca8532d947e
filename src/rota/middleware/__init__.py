"""Middleware: one concern a file, `async (run, call_next) -> result`. See `rota.seams`."""
