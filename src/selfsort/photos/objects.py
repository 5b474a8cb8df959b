"""What the default encoder's classifier sees in pictures: a thousand terms of ImageNet, and broader ones above them.

The classifier is one linear layer over the features that are there already, so no picture is read again. Its terms are
guesses: a picture of something else gets one too. The names are in ``objects.txt``, one line for each class in the
order of ImageNet-1k: the name, a colon, and its broader terms from near to far.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError
from selfsort.features.default_encoder import read_legacy_torch, weights_path
from selfsort.nets.lite0 import HEAD

FloatArray = npt.NDArray[np.float32]
_CHUNK = 4096  # pictures at a time, since each has a thousand terms
#: A picture whose sides are all shorter shows the classifier too little: it takes a digit of 8 pixels for an animal.
LEAST_SIDE = 32


class _Broader(NamedTuple):
    """Terms that cover others.

    Attributes
    ----------
    names : tuple of str, length b
        Every one before those above it.
    covers : ndarray of bool, shape (b, 1000)
        Which classes each covers.
    below : ndarray of bool, shape (b, b)
        Whether the second lies below the first.
    tops : ndarray of int64
        Those that none is above.
    """

    names: tuple[str, ...]
    covers: npt.NDArray[np.bool_]
    below: npt.NDArray[np.bool_]
    tops: npt.NDArray[np.int64]


def names() -> tuple[str, ...]:
    """Return the name of each class, in the order of `terms`."""
    return tuple(name for name, _ in _lines())


def broader() -> tuple[tuple[str, ...], ...]:
    """Return the broader terms of each class, one to three, from near to far.

    >>> names()[207], broader()[207]
    ('golden retriever', ('dogs', 'animals'))
    """
    return tuple(above for _, above in _lines())


def terms(features: npt.NDArray[Any]) -> FloatArray:
    """Return how probable each class is.

    Parameters
    ----------
    features : ndarray, shape (n, 1280) or with more columns, which are left out
        Of the default encoder.

    Returns
    -------
    ndarray of float32, shape (n, 1000)
        Rows sum to 1.

    Raises
    ------
    DataError
        If there are too few columns.
    ModelError
        If the encoder's weights cannot be read.
    """
    if features.ndim != 2 or features.shape[1] < HEAD:
        raise DataError(
            f"Objects are told from the default encoder's {HEAD} features: got an array of shape {features.shape}."
        )
    weight, bias = _classifier()
    scores = np.asarray(features[:, :HEAD], np.float32) @ weight.T + bias
    scores = np.exp(scores - scores.max(1, keepdims=True))
    probable: FloatArray = scores / scores.sum(1, keepdims=True)
    return probable


def broadest() -> tuple[str, ...]:
    """Return the terms that none is above, in the order of `broad`."""
    above = _broader()
    return tuple(above.names[j] for j in above.tops)


def broad(features: npt.NDArray[Any]) -> FloatArray:
    """Return how probable each of the broadest terms is, float32, shape (n, b); rows sum to 1. See `terms`."""
    above = _broader()
    covers = above.covers[above.tops].T.astype(np.float32)
    parts = [terms(features[start : start + _CHUNK]) @ covers for start in range(0, max(len(features), 1), _CHUNK)]
    found: FloatArray = np.concatenate(parts)
    return found


def probable(features: npt.NDArray[Any], least: float) -> Iterator[list[str]]:
    """Yield for each picture the names of all classes and broader terms that are at least so probable.

    Parameters
    ----------
    features : ndarray
        See `terms`.
    least : float
    """
    above = _broader()
    known = (*names(), *above.names)
    for start in range(0, len(features), _CHUNK):
        fine = terms(features[start : start + _CHUNK])
        likely = np.hstack([fine, fine @ above.covers.T.astype(np.float32)]) >= least
        yield from ([known[j] for j in np.flatnonzero(row)] for row in likely)


def hints(features: npt.NDArray[Any], *, least: float = 0.3, at_most: int = 3) -> list[list[tuple[str, float]]]:
    """Return for each picture what it may show, most probable first; empty where nothing is probable enough.

    A broader term is as probable as all that it covers, and stands only where nothing below it is probable enough.

    Parameters
    ----------
    features : ndarray
        See `terms`.
    least : float
        The least probability.
    at_most : int
        So many terms for each picture.
    """
    above = _broader()
    found: list[list[tuple[str, float]]] = []
    for start in range(0, len(features), _CHUNK):
        fine = terms(features[start : start + _CHUNK])
        broad = fine @ above.covers.T.astype(np.float32)
        sure = fine >= least
        # what covers something that stands already does not
        stands = (broad >= least) & ~((sure.astype(np.float32) @ above.covers.T) > 0)
        for j in range(len(above.names)):  # from near to far
            stands[:, j] &= ~stands[:, above.below[j]].any(1)
        for row in range(len(fine)):
            of_row = [(names()[i], float(fine[row, i])) for i in np.flatnonzero(sure[row])]
            of_row += [(above.names[j], float(broad[row, j])) for j in np.flatnonzero(stands[row])]
            found.append(sorted(of_row, key=lambda pair: -pair[1])[:at_most])
    return found


@functools.cache
def _classifier() -> tuple[FloatArray, FloatArray]:
    weights = read_legacy_torch(weights_path())
    return weights["_fc.weight"].astype(np.float32), weights["_fc.bias"].astype(np.float32)


@functools.cache
def _lines() -> tuple[tuple[str, tuple[str, ...]], ...]:
    text = (resources.files("selfsort.photos") / "objects.txt").read_text(encoding="utf-8")
    parts = (line.split(": ") for line in text.splitlines())
    return tuple((name, tuple(above.split(", "))) for name, above in parts)


@functools.cache
def _broader() -> _Broader:
    found = sorted({name for above in broader() for name in above})
    number = {name: j for j, name in enumerate(found)}
    below = np.zeros((len(found), len(found)), bool)
    covers = np.zeros((len(found), len(names())), bool)
    for i, above in enumerate(broader()):
        for far, name in enumerate(above):
            covers[number[name], i] = True
            below[number[name], [number[near] for near in above[:far]]] = True
    order = np.argsort(below.sum(1), kind="stable")  # all that lies below a term also lies below those above it
    below = below[np.ix_(order, order)]
    return _Broader(tuple(found[j] for j in order), covers[order], below, np.flatnonzero(~below.any(0)))
