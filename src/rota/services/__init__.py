"""Services: one concern a file, an object with a name and `async run()`. See `rota.seams`."""
