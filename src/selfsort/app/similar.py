"""Search by picture: which pictures of the run are nearest to one of them, or to another picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.features.encoders import encoder_of_run
from selfsort.features.project import unit_rows
from selfsort.images import Unreadable, decode

_CHUNK = 8192


def nearest(clusters: Clusters, vector: npt.NDArray[np.floating], n: int) -> npt.NDArray[np.int64]:
    """Return the rows of the `n` pictures nearest to a vector of features, nearest first.

    Compared is the cosine of the (signed) square roots of features, in which the large ones count less.
    """
    if clusters.embedding is None:
        raise DataError("This run holds no features to search by. Make it with selfsort organize.")
    wanted = _unit(np.asarray(vector, np.float32)[None])[0]
    cosine = np.full(len(clusters.ok), -2, np.float32)
    for start in range(0, len(cosine), _CHUNK):
        part = slice(start, start + _CHUNK)
        cosine[part] = _unit(np.asarray(clusters.embedding[part], np.float32)) @ wanted
    cosine[~clusters.ok] = -2
    n = min(n, int(clusters.ok.sum()))
    best = np.argpartition(-cosine, n - 1)[:n] if n else np.zeros(0, np.int64)
    return best[np.argsort(-cosine[best], kind="stable")]


def encode(clusters: Clusters, data: bytes) -> npt.NDArray[np.float32]:
    """Return the features of the bytes of a picture file, by the encoder of the run."""
    encoder = encoder_of_run(clusters.run)
    try:
        picture = decode(data, encoder.preprocessing)
    except Unreadable as error:
        raise DataError(f"This picture cannot be read: {error}.") from error
    return encoder.encode(picture.pixels[None])[0]


def _unit(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return unit_rows(np.sign(features) * np.sqrt(np.abs(features)))
