"""Checks of the arguments of public functions, so that errors name the wrong argument."""

from __future__ import annotations

import difflib
import functools
import inspect
import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from selfsort.errors import DataError

P = ParamSpec("P")
R = TypeVar("R")


class Kind(NamedTuple):
    """Kind of an argument.

    Attributes
    ----------
    accepts : callable
        Tells whether a value is of this kind.
    words : str
        Description of the kind, for messages.
    """

    accepts: Callable[[Any], bool]
    words: str


def of(kinds: type | tuple[type, ...], words: str) -> Kind:
    """Return the kind of these types."""
    return Kind(lambda value: isinstance(value, kinds), words)


def optional(kind: Kind) -> Kind:
    """Return a kind that may also be None."""
    return Kind(lambda value: value is None or kind.accepts(value), f"{kind.words}, or None")


def _is_whole(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    import numpy as np

    try:
        return np.asarray(value).dtype.kind in "biuf"
    except (TypeError, ValueError):  # rows of different lengths
        return False


NUMBERS = Kind(_are_numbers, "an array of numbers")
PATH = of((str, os.PathLike), "a path (str or pathlib.Path)")
TEXT = of(str, "a text (str)")
FLAG = Kind(lambda value: isinstance(value, bool) or type(value).__name__ == "bool_", "True or False")
WHOLE = Kind(_is_whole, "a whole number (int)")
MAPPING = of(Mapping, "a mapping (dict)")
CALL = Kind(callable, "a callable: progress(stage, done, total)")
PROGRESS = Kind(lambda value: value is None or isinstance(value, bool) or callable(value), "a callable, True or False")


def checked(**kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that checks a function's arguments.

    Parameters
    ----------
    **kinds : Kind
        Kind by argument name. Other arguments are not checked.

    Returns
    -------
    callable
        Decorates the function so that it raises `DataError` if an argument is of the wrong kind, unknown or missing.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        called = function.__qualname__

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise DataError(_misfit(called, signature, kwargs, error)) from None
            for name, kind in kinds.items():
                if name in given and not kind.accepts(given[name]):
                    value = given[name]
                    seen = f"{reprlib.repr(value)} ({type(value).__name__})"
                    raise DataError(f"{called}: {name} must be {kind.words}: got {seen}.")
            return function(*args, **kwargs)

        return call

    return decorate


def meant(name: str, names: Iterable[str]) -> str:
    """Return a question that suggests the closest name, with a leading space; empty if no name is close.

    >>> meant("kmaens", ["kmeans", "graph"]), meant("xyz", ["kmeans", "graph"])
    (' Did you mean kmeans?', '')
    """
    near = difflib.get_close_matches(name.lower(), list(names), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _misfit(called: str, signature: inspect.Signature, kwargs: Mapping[str, Any], error: TypeError) -> str:
    """Return why arguments do not match a function's signature."""
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    if unknown := [name for name in kwargs if name not in names]:
        return f"{called} has no argument {unknown[0]!r}.{meant(unknown[0], names)} It has: {', '.join(names)}."
    return f"{called}: {error}. Its arguments are: {', '.join(names)}."
