"""The groups of new pictures, by the model in a run folder or by a vote of the run's own pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from selfsort.arguments import CALL, PATH, TEXT, checked, optional
from selfsort.clusters import Clusters
from selfsort.errors import DataError, ModelError
from selfsort.features.encoders import Encoder, encoder_of_run
from selfsort.features.groups import default_n_neighbors
from selfsort.features.layers import prepare_as_run
from selfsort.learn.samples import Samples, encode_samples, in_colors, known_set, read_samples
from selfsort.methods.base import Encoded
from selfsort.methods.graph import vote
from selfsort.methods.saving import load_model
from selfsort.run_folder import check_whole
from selfsort.runtime import Progress, silent


@dataclass(frozen=True)
class Prediction:
    """The groups of new pictures.

    Attributes
    ----------
    paths : list of str
        Of each file that was found, or a name such as ``mnist/test/00042``.
    status : list of str
        "ok", or one line that says why it could not be read.
    labels : ndarray of int64, shape (n,)
        Groups as in `Clusters.labels`; -1 where the file could not be read.
    probabilities : ndarray of float32, shape (n, k), or None
        Share of each picture in each of the method's clusters, where it has them; zeros where it could not be read.
    numbers : mapping of int to int
        Label -> the lasting number of a group of `selfsort.organize`, which commands show and take.
    """

    paths: list[str]
    status: list[str]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32] | None = None
    numbers: Mapping[int, int] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping per file: ``path``, ``group`` (number), ``status``, and ``probability`` if known."""
        rows: list[dict[str, Any]] = [
            {"path": path, "group": self.numbers.get(group, group), "status": status}
            for path, group, status in zip(self.paths, self.labels.tolist(), self.status, strict=True)
        ]
        if self.probabilities is not None:
            for row, value in zip(rows, self.probabilities.max(1).tolist(), strict=True):
                row["probability"] = round(value, 4)
        return rows


@checked(run=PATH, split=optional(TEXT), encoder=optional(TEXT), progress=CALL)
def predict(
    run: str | Path,
    data: Any,
    *,
    split: str | None = None,
    encoder: str | None = None,
    progress: Progress = silent,
) -> Prediction:
    """Find the groups of new pictures.

    Parameters
    ----------
    run : path
        A run folder of `selfsort.fit` or `selfsort.organize`. The latter has no model: its own nearest pictures vote.
    data : str, path, sequence or ndarray
        As for `selfsort.fit`. Pictures are brought into the size and colors that the model learned from; an array must
        have them.
    split : str, optional
        Of a known set.
    encoder : str, optional
        The encoder of the run, if it may be downloaded. Without it only an encoder on this machine is used: a run that
        somebody else made does not decide where selfsort connects.
    progress : callable

    Returns
    -------
    Prediction

    Raises
    ------
    DataError, ModelError
        If the folder is no run, there is no such split, its model is damaged, or the pictures are not of a kind that it
        can place.
    """
    clusters = Clusters.load(run)
    if "samples" not in clusters.run:
        return _by_vote(clusters, data, split, encoder, progress)
    model = load_model(run)
    samples = _read_like(clusters.run, data, split, encoder, progress)
    order = np.array(clusters.run.get("clusters", ()), np.int64)
    if len(order) != getattr(model, "n_clusters_", None):
        raise ModelError(f"The model in {run} is damaged: it has other clusters than the run. Fit it again.")
    group = np.empty(len(order), np.int64)
    group[order] = np.arange(len(order))
    soft = model.predict_proba(samples.X)[:, order] if hasattr(model, "predict_proba") else None
    return _spread(samples, group[model.predict(samples.X)], soft)


def _spread(samples: Samples, labels: npt.NDArray[np.int64], soft: npt.NDArray[np.float32] | None = None) -> Prediction:
    every = np.full(len(samples.items), -1, np.int64)
    every[samples.rows] = labels
    shares = None
    if soft is not None:
        shares = np.zeros((len(every), soft.shape[1]), np.float32)
        shares[samples.rows] = soft
    return Prediction(
        [item["path"] for item in samples.items], [item["status"] for item in samples.items], every, shares
    )


def _read_like(run: dict[str, Any], data: Any, split: str | None, named: str | None, progress: Progress) -> Samples:
    """Read new pictures in the form that the run's model learned from."""
    wanted = run["samples"]
    if wanted["from"] == "features":
        return _encoded(data, split, encoder_of_run(run, named), progress)
    shape = wanted["shape"]
    if isinstance(data, np.ndarray) and (wanted["from"] == "array" or data.dtype != np.uint8 or data.ndim == 2):
        return read_samples(data, split, progress=progress)  # taken as it is
    if len(shape) == 1:
        raise DataError(f"The run was fitted on vectors of {shape[0]} numbers, not on pictures. Pass an array of them.")
    low, high = wanted.get("range", (0, 1))
    if wanted["from"] == "array" and not 0 <= low <= high <= 1:
        raise DataError(f"The run was fitted on numbers from {low:g} to {high:g}. Pass an array of such, not pictures.")
    own = known_set(data) is None and not isinstance(data, np.ndarray)
    samples = read_samples(data, split, max(shape[-2:]) if own else None, progress=progress)
    X = _in_shape(samples.values, tuple(shape))
    samples.X = X if wanted["from"] == "pixels" else X.astype(wanted["dtype"]) / 255
    return samples


def _encoded(data: Any, split: str | None, encoder: Encoder, progress: Progress) -> Samples:
    samples = read_samples(data, split, encoder=encoder, progress=progress)
    if not isinstance(samples.X, Encoded):
        samples.X = encode_samples(samples, encoder, progress)
    return samples


def _in_shape(images: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Scale pictures, uint8 of shape (n, c, h, w), to the shape (c, h, w) or (h, w); gray becomes color, and back."""
    channels = shape[0] if len(shape) == 3 else 1
    if channels not in (1, 3):
        raise DataError(f"The run was fitted on images of {channels} channels, which no picture has. Pass an array.")
    images = in_colors(images, channels)
    height, width = shape[-2:]
    if images.shape[2:] != (height, width):
        scaled = np.empty((*images.shape[:2], height, width), np.uint8)
        for image, target in zip(images.reshape(-1, *images.shape[2:]), scaled.reshape(-1, height, width), strict=True):
            target[:] = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
        images = scaled
    return images.reshape(len(images), *shape)


def _by_vote(clusters: Clusters, data: Any, split: str | None, named: str | None, progress: Progress) -> Prediction:
    """Label by the nearest pictures of a run without a model, in the space that its graph was made in."""
    run = clusters.run
    if clusters.embedding is None or "encoder" not in run:
        raise ModelError(f"{clusters.path} holds neither a model nor an embedding. Make the run again.")
    first = np.zeros(len(clusters.ok), bool)
    first[np.unique(clusters.items["id"].to_numpy(), return_index=True)[1]] = True  # copies have one vote
    rows = np.flatnonzero(first & clusters.ok)
    if not (clusters.labels[rows] >= 0).any():
        raise DataError(f"No picture of {clusters.path} has a group, so nothing can be said of others.")
    if clusters.path is not None and isinstance(clusters.embedding, np.memmap):  # not yet read to its end
        check_whole(clusters.path, "embedding.npy")
    embedding = np.asarray(clusters.embedding[rows])
    voters = rows[clusters.labels[rows] >= 0]
    samples = _encoded(data, split, encoder_of_run(run, named), progress)
    if samples.values.shape[1] != embedding.shape[1]:
        raise ModelError(
            f"The encoder gives {samples.values.shape[1]} features, the run's gave {embedding.shape[1]}. "
            "Make the run again."
        )
    n_voters = min(run.get("params", {}).get("n_neighbors") or default_n_neighbors(len(rows)), len(voters))
    preparation = prepare_as_run(embedding, run)
    known = preparation(embedding[clusters.labels[rows] >= 0])
    found = _spread(samples, vote(preparation(samples.values), known, clusters.labels[voters], n_voters))
    return replace(found, numbers=clusters.numbers)
