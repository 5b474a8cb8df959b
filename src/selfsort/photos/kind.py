"""What kind of picture it is: a photograph, a screenshot, a meme, a document, a poster or a chart.

A linear model over the default encoder's features and the numbers of `selfsort.photos.looks`; how it was trained and
what it scores is in ``benchmarks/kind.py``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfsort.nets.lite0 import HEAD
from selfsort.photos.looks import KIND_NUMBERS

FloatArray = npt.NDArray[np.float32]

#: Raise when the model changes.
VERSION = 1
PHOTO = "photo"
_FILE = "kind.safetensors"
_CHUNK = 4096
#: Features are scaled to this length, so that what one weighs does not depend on how many a picture excites.
_LENGTH = 30.0


class Model(NamedTuple):
    """Logistic regression.

    Attributes
    ----------
    kinds : tuple of str, length k
    weight : ndarray of float32, shape (k, d)
    bias : ndarray of float32, shape (k,)
    """

    kinds: tuple[str, ...]
    weight: FloatArray
    bias: FloatArray


def kinds() -> tuple[str, ...]:
    """Return the kinds that there are, in the order of `probabilities`."""
    return _model().kinds


def probabilities(features: npt.NDArray[Any], looks: Sequence[Mapping[str, Any]]) -> FloatArray:
    """Return how probable each kind is.

    Parameters
    ----------
    features : ndarray, shape (n, 1280) or with more columns, which are left out
        Of the default encoder.
    looks : sequence of n mappings
        From `selfsort.photos.looks.look`.

    Returns
    -------
    ndarray of float32, shape (n, k)
        Rows sum to 1; columns are those of `kinds`.
    """
    model = _model()
    found = np.empty((len(features), len(model.kinds)), np.float32)
    for start in range(0, len(features), _CHUNK):
        part = slice(start, start + _CHUNK)
        scores = inputs(features[part], looks[part]) @ model.weight.T + model.bias
        scores = np.exp(scores - scores.max(1, keepdims=True))
        found[part] = scores / scores.sum(1, keepdims=True)
    return found


def inputs(features: npt.NDArray[Any], looks: Sequence[Mapping[str, Any]]) -> FloatArray:
    """Return what the model sees, float32, shape (n, 1280 + numbers): square roots of scaled features, and numbers."""
    active = np.maximum(np.asarray(features[:, :HEAD], np.float32), 0)
    rooted = np.sqrt(active / np.maximum(active.sum(1, keepdims=True), 1e-6)) * np.float32(_LENGTH)
    numbers = np.array([[look[name] for name in KIND_NUMBERS] for look in looks], np.float32)
    return np.hstack([rooted, numbers.reshape(len(features), len(KIND_NUMBERS))])


def save(kinds: Sequence[str], weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> Path:
    """Make this the model that ships."""
    from safetensors.numpy import save_file

    path = Path(__file__).with_name(_FILE)
    tensors: dict[str, npt.NDArray[Any]] = {
        "weight": np.ascontiguousarray(weight, np.float16),
        "bias": np.asarray(bias, np.float32),
    }
    save_file(tensors, path, {"kinds": json.dumps(list(kinds))})
    return path


@functools.cache
def _model() -> Model:
    from safetensors import safe_open

    with (
        resources.as_file(resources.files("selfsort.photos") / _FILE) as path,
        safe_open(path, framework="numpy") as file,
    ):
        names = json.loads(file.metadata()["kinds"])
        return Model(tuple(names), file.get_tensor("weight").astype(np.float32), file.get_tensor("bias"))
