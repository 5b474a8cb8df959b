"""Errors for people: each message says what is wrong, what was seen and what to do."""

import reprlib


class SelfsortError(Exception):
    """Base of every error that selfsort raises on purpose; the command line prints it as one line."""


class CollapseWarning(UserWarning):
    """Most samples ended in one cluster, or some clusters have none."""


class DataError(SelfsortError, ValueError):
    """The input cannot work: wrong shape, too few samples, an unreadable file, a label that does not fit."""


def check_type(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise `DataError` unless an argument is of one of these types.

    >>> check_type("replace", "yes", bool, "True or False")
    Traceback (most recent call last):
    ...
    selfsort.errors.DataError: replace must be True or False: got 'yes' (str).
    """
    if not isinstance(value, kinds):
        seen = reprlib.repr(value)
        raise DataError(f"{name} must be {expected}: got {seen} ({type(value).__name__}).")


class ModelError(SelfsortError, RuntimeError):
    """An encoder or a saved model cannot be loaded or does not fit the data."""
