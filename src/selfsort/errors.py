"""Errors for people: each message says what is wrong, what was seen and what to do."""


class SelfsortError(Exception):
    """Base of every error that selfsort raises on purpose; the command line prints it as one line."""


class CollapseWarning(UserWarning):
    """Most samples ended in one cluster, or some clusters have none."""


class DataError(SelfsortError, ValueError):
    """The input cannot work: wrong shape, too few samples, an unreadable file, a label that does not fit."""


class ModelError(SelfsortError, RuntimeError):
    """An encoder or a saved model cannot be loaded or does not fit the data."""
