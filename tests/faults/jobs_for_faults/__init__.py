"""The jobs that fault tests run in real worker processes; each writes what it does into a ledger beside Redis."""
