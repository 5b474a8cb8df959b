"""From a fitted method to the record of its run: groups, neighbors, map and figures, for any method."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfsort.clusters import Clusters, Figure, items_table
from selfsort.curves import learning_curves_png
from selfsort.features.graph import shared_neighbor_graph
from selfsort.features.groups import Grouping, default_n_neighbors, describe_groups
from selfsort.features.layout import layout
from selfsort.features.neighbors import Neighbors, nearest_neighbors
from selfsort.features.project import FloatArray, principal_axes, unit_rows
from selfsort.figures import MAX_PAIRS, joint_png, reconstructions_png
from selfsort.learn.samples import Samples
from selfsort.runtime import Clock, Progress
from selfsort.sheets import MAX_ANCHORS, neighbors_png

if TYPE_CHECKING:
    from selfsort.methods.base import SelfsortClusterer

_N_STORED = 20
#: Largest value of an embedding that float16 holds with room to spare, and the smallest worth keeping.
_LARGEST, _SMALLEST = 6e4, 1e-2


def build_clusters(
    model: SelfsortClusterer, samples: Samples, facts: dict[str, Any], clock: Clock, progress: Progress
) -> Clusters:
    """Return the record of a fitted method.

    Parameters
    ----------
    model : SelfsortClusterer
        Fitted on the samples.
    samples : Samples
    facts : dict
        The run's facts as far as they are known; the level, the counts, the clusters' numbers and what was measured are
        added.
    clock : Clock
        Stages "neighbors" and "map".
    progress : callable
    """
    vectors = model.embed(samples.X)
    neighbors = _neighbors(vectors, facts["seed"], progress)
    clock("neighbors")
    k = min(default_n_neighbors(len(vectors)), neighbors.indices.shape[1])
    graph = shared_neighbor_graph(neighbors.indices[:, :k])
    order = np.argsort(-np.bincount(model.labels_, minlength=model.n_clusters_), kind="stable")
    grouping = _grouping(model, order)
    groups, confidence = describe_groups(grouping, graph, _lifted(vectors))
    position = layout(graph, _first_axes(vectors), seed=facts["seed"], progress=progress)
    clock("map")
    shown = [group for group in groups if group["level"] == grouping.default]
    mined, recall = neighbors.indices, neighbors.recall
    if hasattr(model, "mined_neighbors_") and len(vectors) > 1:  # those that the method went by
        mined, recall = model.mined_neighbors_, model.mined_recall_
    figures = _figures(model, samples.X, order, shown)
    if samples.thumbnails is not None and mined.size:
        anchors = np.array(_round_robin((group["prototypes"] for group in shown), MAX_ANCHORS), np.int64)
        caption = "At the left typical pictures of the groups, beside each its nearest others, the nearest first."
        png = neighbors_png([samples.thumbnails[row] for row in samples.rows], anchors, mined[anchors])
        figures.append(Figure("neighbors", "Nearest neighbors", caption, png))
    for group in groups:
        group["prototypes"] = samples.rows[group["prototypes"]].tolist()
        group["odd"] = samples.rows[group["odd"]].tolist()
    embedding, scale = _half_precision(vectors)
    facts |= {
        "level": grouping.default,
        "n_items": len(samples.items),
        "n_ok": len(samples.rows),
        "n_groups": int(grouping.labels.max()) + 1,
        "n_nowhere": 0,
        "clusters": order.tolist(),
        "neighbor_recall": recall,
    } | ({} if scale == 1 else {"embedding_scale": scale})

    def spread(values: npt.NDArray[Any], missing: float, dtype: Any) -> npt.NDArray[Any]:
        full = np.full((len(samples.items), *values.shape[1:]), missing, dtype)
        full[samples.rows] = values
        return full

    soft = model.predict_proba(samples.X)[:, order] if hasattr(model, "predict_proba") else None
    return Clusters(
        run=facts,
        items=items_table(samples.items),
        levels=spread(grouping.levels, -1, np.int32),
        confidence=spread(confidence, 0, np.float32),
        neighbors=spread(samples.rows[mined], -1, np.int32),
        groups=groups,
        map=spread(position, np.nan, np.float32),
        embedding=spread(embedding, 0, np.float16),
        thumbnails=samples.thumbnails,
        probabilities=spread(soft, 0, np.float32) if soft is not None else None,
        metrics=list(getattr(model, "history_", [])),
        figures=figures,
    )


def _neighbors(vectors: FloatArray, seed: int, progress: Progress) -> Neighbors:
    n = len(vectors)
    if n == 1:
        return Neighbors(np.zeros((1, 0), np.int32), np.zeros((1, 0), np.float32), 1.0)
    return nearest_neighbors(vectors, min(_N_STORED, n - 1), metric="euclidean", seed=seed, progress=progress)


def _grouping(model: SelfsortClusterer, order: npt.NDArray[np.int64]) -> Grouping:
    """Number the groups from the largest, as all runs do; clusters without members come last and are no groups.

    `order` has the method's own number of each group.
    """
    if hasattr(model, "levels_"):  # nested and numbered so already
        return Grouping(model.levels_, 2)
    group = np.empty(len(order), np.int64)
    group[order] = np.arange(len(order))
    return Grouping(group[model.labels_][:, None], 0)


def _lifted(vectors: FloatArray) -> FloatArray:
    """Return unit vectors whose inner products order samples as their Euclidean distances do: a far sphere is flat."""
    centered = vectors - vectors.mean(0)
    distance = 4 * max(float(np.linalg.norm(centered, axis=1).max()), 1e-12)
    return unit_rows(np.column_stack([centered, np.full(len(vectors), distance)]))


def _first_axes(vectors: FloatArray) -> FloatArray:
    mean, axes = principal_axes(vectors, 2)
    return np.pad((vectors - mean) @ axes, ((0, 0), (0, 2 - axes.shape[1])))


def _half_precision(vectors: FloatArray) -> tuple[npt.NDArray[np.float16], float]:
    """Return the vectors as float16, divided by a number where they would not fit, and that number."""
    top = float(np.abs(vectors).max(initial=0))
    scale = 1.0 if top == 0 or _SMALLEST <= top <= _LARGEST else top / 1000
    return (vectors / np.float32(scale)).astype(np.float16), scale


def _figures(
    model: SelfsortClusterer, X: Any, order: npt.NDArray[np.int64], groups: list[dict[str, Any]]
) -> list[Figure]:
    figures = []
    history: list[dict[str, Any]] = getattr(model, "history_", [])
    if history:
        figures.append(Figure("learning-curves", "Learning curves", _course(history), learning_curves_png(history)))
    if hasattr(model, "joint_"):
        caption = "In which group the other view of a picture was found: each row is a group of the one view."
        png = joint_png(model.joint_[np.ix_(order, order)])
        figures.append(Figure("joint-distribution", "Do two views agree?", caption, png))
    shape = model.image_shape_
    if hasattr(model, "reconstruct") and shape is not None and (len(shape) == 2 or shape[0] in (1, 3)):
        rows = _round_robin((group["prototypes"] for group in groups), MAX_PAIRS)
        originals = X[rows].reshape(len(rows), *(shape if len(shape) == 3 else (1, *shape)))
        rebuilt = model.reconstruct(X[rows]).reshape(originals.shape)
        low, high = (0, 255) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
        shades = [(image.astype(np.float32) - low) / ((high - low) or 1) for image in (originals, rebuilt)]
        caption = f"{len(rows)} typical pictures of the groups, and below each what the network makes of its code."
        figures.append(Figure("reconstructions", "Reconstructions", caption, reconstructions_png(*shades)))
    return figures


def _course(history: list[dict[str, Any]]) -> str:
    """Say in words what learning curves show."""
    parts = []
    for stage, rows in itertools.groupby(history, key=lambda row: str(row["stage"])):
        losses = [row["loss"] for row in rows]
        epochs = "1 epoch" if len(losses) == 1 else f"{len(losses)} epochs"
        parts.append(f"{stage} from {losses[0]:.3g} to {losses[-1]:.3g} in {epochs}")
    return f"The mean of each term per epoch; the loss of {', that of '.join(parts)}."


def _round_robin(lists: Iterable[list[int]], n: int) -> list[int]:
    """Return the first of each, then the second of each, and so on, n in all or as many as there are."""
    ranks = itertools.zip_longest(*lists)
    return [row for rank in ranks for row in rank if row is not None][:n]
