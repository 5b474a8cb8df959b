"""What the built-in encoder's features tell of the pictures of a run: of what kind each is, and what it may show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.clusters import Clusters
from selfsort.features.encoders import DEFAULT, LAYERED
from selfsort.photos import kind
from selfsort.photos.objects import LEAST_SIDE, hints


def is_built_in(encoder: str | None) -> bool:
    """Tell whether features of the encoder of this name are those that kinds and objects are told by."""
    return encoder in (DEFAULT, LAYERED)


def features_of(clusters: Clusters) -> npt.NDArray[Any] | None:
    """Return the features of every row of a run; None if there are none, or they are of another encoder."""
    if clusters.embedding is None or not is_built_in((clusters.run.get("encoder") or {}).get("name")):
        return None
    return np.asarray(clusters.embedding)


def kinds_of(clusters: Clusters, looks: Mapping[str, Any], rows: Sequence[int]) -> dict[int, tuple[str, float]]:
    """Return of what kind pictures are by themselves, whatever their neighbors are, and how probable that is.

    Parameters
    ----------
    clusters : Clusters
    looks : mapping of str to mapping
        Content -> numbers of `selfsort.photos.looks`; pictures that were not looked at are left out.
    rows : sequence of int
        The pictures that are asked for.
    """
    ids, features = clusters.items.column("id"), features_of(clusters)
    seen = {row: look for row in rows if (look := looks.get(ids[row].as_py()))}
    if features is None or not seen:
        return {}
    found = kind.probabilities(features[list(seen)], list(seen.values()))
    return {row: (kind.kinds()[of.argmax()], float(of.max())) for row, of in zip(seen, found, strict=True)}


def large_enough(clusters: Clusters, rows: Sequence[int]) -> list[int]:
    """Return those of the rows that are no icons, which show the classifier of objects too little."""
    width, height = (clusters.items.column(name).to_numpy() for name in ("width", "height"))
    return [row for row in rows if max(width[row], height[row]) >= LEAST_SIDE]


def objects_of(clusters: Clusters, rows: Sequence[int]) -> dict[int, list[tuple[str, float]]]:
    """Return what pictures may show, see `selfsort.photos.objects.hints`; icons are left out."""
    rows, features = large_enough(clusters, rows), features_of(clusters)
    if features is None or not rows:
        return {}
    return dict(zip(rows, hints(features[rows]), strict=True))
