"""The base of every error that an operator can mend."""


class OperatorError(Exception):
    """Its text names the thing and the remedy, one line a problem; a command prints just that."""
