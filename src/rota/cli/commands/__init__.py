"""The commands, by what they are about; `rota.cli.main` adds them to the command line."""
