"""The root of rota's faults."""


class RotaError(Exception):
    """The root of rota's faults: catch it to catch all of them."""
