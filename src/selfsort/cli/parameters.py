"""What an estimator says of its parameters, for people: values from text, and what is allowed.

Names, defaults and checks are read from the estimator itself, so no parameter is listed twice.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import Any

from selfsort.errors import DataError

_YES, _NO, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null")
_NOT_OURS = "random_state"  # it is --seed


def parameters(kind: type) -> dict[str, tuple[Any, str]]:
    """Return name -> (default, what is allowed in words) of an estimator's parameters."""
    signature = inspect.signature(kind).parameters
    return {
        name: (parameter.default, allowed(kind._parameter_constraints[name]))  # type: ignore[attr-defined]
        for name, parameter in signature.items()
        if name != _NOT_OURS
    }


def parse(kind: type, method: str, pairs: Iterable[str]) -> dict[str, Any]:
    """Turn texts ``name=value`` into parameters of an estimator.

    Parameters
    ----------
    kind : type
        The estimator.
    method : str
        Its name for people.
    pairs : iterable of str

    Raises
    ------
    DataError
        If there is no such parameter, it is given twice, or the value is not allowed.
    """
    known, values = parameters(kind), dict[str, Any]()
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if name == _NOT_OURS:
            raise DataError("random_state is the seed of the whole fit. Give it with --seed.")
        if name not in known:
            raise DataError(f"{method} has no parameter {name!r}. It has: {', '.join(known)}.")
        if not equals:
            raise DataError(f"--set {name} has no value. Write --set {name}=VALUE, {known[name][1]}.")
        if name in values:
            raise DataError(f"{name} is set twice. Keep one of them.")
        for constraint in kind._parameter_constraints[name]:  # type: ignore[attr-defined]
            if (value := _read(text, constraint, known[name][0])) is not _NOTHING:
                values[name] = value
                break
        else:
            raise DataError(f"{name} of {method} must be {known[name][1]}: got {text!r}.")
    return values


def allowed(constraints: Iterable[Any]) -> str:
    """Say what the constraints of one parameter allow."""
    return " or ".join(_words(constraint) for constraint in constraints)


_NOTHING = object()


def _read(text: str, constraint: Any, default: Any) -> Any:
    """Return the value that a constraint makes of a text, or `_NOTHING` where it allows none."""
    from sklearn.utils._param_validation import Interval, StrOptions

    word = text.lower()
    if constraint is None:
        return None if word in _NONE else _NOTHING
    if constraint == "boolean":
        return word in _YES if word in _YES + _NO else _NOTHING
    if constraint == "array-like":
        return _read_list(text, default)
    if isinstance(constraint, StrOptions):
        return text if text in constraint.options else _NOTHING
    if isinstance(constraint, Interval):
        try:
            value = int(text) if constraint.type is Integral else float(text)
        except ValueError:
            return _NOTHING
        return value if value in constraint and math.isfinite(value) else _NOTHING
    return text if constraint is str and text else _NOTHING


def _read_list(text: str, default: Any) -> Any:
    try:
        values = json.loads(text if text.startswith("[") else f"[{text}]")
    except ValueError:
        return _NOTHING
    if isinstance(default, tuple) and any(type(value) is not int or value < 1 for value in values):  # widths, depths
        return _NOTHING
    return values


def _words(constraint: Any) -> str:
    from sklearn.utils._param_validation import Interval, StrOptions

    if constraint is None:
        return "none"
    if constraint == "boolean":
        return "true or false"
    if constraint == "array-like":
        return "numbers separated by commas"
    if isinstance(constraint, StrOptions):
        return ", ".join(sorted(constraint.options))
    if isinstance(constraint, Interval):
        return _range(constraint)
    return {str: "text", Path: "a path"}.get(constraint, str(constraint))


def _range(interval: Any) -> str:
    """Return an interval in words: "a whole number from 1", "a number above 0 and up to 1"."""
    words = "a whole number" if interval.type is Integral else "a number"
    closed = interval.closed
    if interval.left is not None:
        words += f" {'from' if closed in ('left', 'both') else 'above'} {interval.left}"
    if interval.right is not None:
        words += f" {'to' if closed in ('right', 'both') else 'and below'} {interval.right}"
    return words
