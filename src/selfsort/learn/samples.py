"""What a method is given: a known set, an array, or own pictures by their features or their pixels."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.arguments import meant
from selfsort.datasets import DATASETS, Dataset, load_dataset
from selfsort.datasets.catalog import normal
from selfsort.datasets.pictures import for_each
from selfsort.errors import DataError
from selfsort.features.cache import Cache
from selfsort.features.encoders import Encoder, load_encoder
from selfsort.features.extract import extract
from selfsort.files import content_id
from selfsort.images import Unreadable, decode, from_array
from selfsort.methods.base import Encoded
from selfsort.pixels import Preprocessing, thumbnail
from selfsort.runtime import Progress, silent
from selfsort.sources import Source, display_path, open_source
from selfsort.threads import Threads

_THUMBNAIL = 112
#: Thumbnails of fewer pixels are enlarged so far, by whole numbers: JPEG spoils what is smaller.
_SMALL = 56


@dataclass
class Samples:
    """Samples, and what a run says of where they are from.

    Attributes
    ----------
    X : ndarray or Encoded
        What the estimator gets.
    items : list of dict
        One per file that was found, see `selfsort.clusters.items_table`.
    rows : ndarray of int64, shape (n_samples,)
        The item of each sample; the other items could not be read.
    thumbnails : list of bytes or None, optional
        Of the items.
    labels : ndarray, optional
        One per item, for evaluation only, where a known set has them.
    facts : dict
        For ``run.json``: ``root``, ``source``, ``encoder``, ``data`` and ``samples``.
    warnings : list of str
    """

    X: npt.NDArray[Any] | Encoded
    items: list[dict[str, Any]]
    rows: npt.NDArray[np.int64]
    thumbnails: list[bytes | None] | None
    labels: npt.NDArray[Any] | None
    facts: dict[str, Any]
    warnings: list[str]

    @property
    def values(self) -> npt.NDArray[Any]:
        """The numbers in `X`."""
        return self.X.features if isinstance(self.X, Encoded) else self.X

    def in_colors_of(self, shape: tuple[int, ...] | None) -> None:
        """Make gray pictures colored, or the other way, where a model has learned from images of this shape."""
        if shape is not None and len(shape) == self.values.ndim - 1 == 3 and shape[0] in (1, 3):
            self.X = in_colors(self.values, shape[0])
            self.facts["samples"] = _described(self.X)

    def fingerprint(self) -> str:
        """Return a hash of the samples, and of all files' names and states."""
        import xxhash

        values = self.values
        digest = xxhash.xxh3_128(
            f"{values.dtype}{values.shape}{self.facts['root']}".encode("utf-8", "backslashreplace")
        )
        digest.update(np.ascontiguousarray(values).data)
        for item in self.items:
            digest.update(f"{item['path']}\0{item['id']}\0{item['status']}\n".encode())
        return digest.hexdigest()


def known_set(data: Any) -> str | None:
    """Return the name of the known set that is meant, or None."""
    return {normal(name): name for name in DATASETS}.get(normal(data)) if isinstance(data, str) else None


def read_samples(
    data: Any,
    split: str | None = None,
    pixels: int | None = None,
    *,
    encoder: Encoder | None = None,
    progress: Progress = silent,
) -> Samples:
    """Read what a method is given.

    Parameters
    ----------
    data : str, path, sequence or ndarray
        The name of a known set, an array (see `selfsort.datasets.load_dataset`), or own pictures (see
        `selfsort.sources.open_source`).
    split : str, optional
        Of a known set.
    pixels : int, optional
        Side of the squares that pictures are scaled to; own pictures that are all gray get one channel. Without it
        known sets and arrays stay as they are, and own pictures are given by the encoder's features.
    encoder : Encoder, optional
        For own pictures; the default one if not given.
    progress : callable

    Raises
    ------
    DataError
        If there is nothing to read, or nothing of it is readable.
    """
    if isinstance(data, np.ndarray) and data.dtype.kind not in "biuf":
        raise DataError(f"An array of samples must be of numbers: got one of {data.dtype}.")
    if known_set(data) or isinstance(data, np.ndarray):
        return _of_dataset(load_dataset(data, split, size=pixels, progress=progress))
    if split is not None:
        raise DataError(f"There are no splits in own pictures: got split={split!r}. Leave it out.")
    if isinstance(data, str) and not _may_exist(data):
        raise DataError(
            f"{data!r} is neither a data set ({', '.join(DATASETS)}) nor a path at which there is anything."
            f"{meant(data, DATASETS) or ' Check how it is written.'}"
        )
    progress("find", 0, None)
    with open_source(data) as source:
        if pixels is not None:
            return _of_pixels(source, pixels, progress)
        return _of_features(source, encoder, progress)


def encode_samples(samples: Samples, encoder: Encoder | None = None, progress: Progress = silent) -> Encoded:
    """Return the encoder's features of samples that are pictures."""
    pictures = as_pictures(samples.values) if samples.values.dtype == np.uint8 else None
    if pictures is None:
        raise DataError(
            f"Pictures of uint8 are needed: got an array of {samples.values.dtype} of shape {samples.values.shape}."
        )
    with open_source(np.ascontiguousarray(pictures)) as source:
        encoded = _of_features(source, encoder, progress).X
    assert isinstance(encoded, Encoded)
    return encoded


def _may_exist(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # open_source says what is wrong with it
        return True


def _of_dataset(dataset: Dataset) -> Samples:
    X = np.asarray(dataset.images)
    pictures = as_pictures(X)
    height, width = X.shape[-2:] if X.ndim > 2 else (0, 0)
    prefix = dataset.name if dataset.split == "all" else f"{dataset.name}/{dataset.split}"
    digits = max(5, len(str(len(X) - 1)))
    items = [
        _row(f"{prefix}/{i:0{digits}d}", content=np.ascontiguousarray(x).tobytes(), width=width, height=height)
        for i, x in enumerate(X)
    ]
    labels = dataset.labels
    if labels is not None and dataset.classes:
        labels = np.array(dataset.classes)[labels]
    data = {"name": dataset.name, "split": dataset.split, "n": len(X), "note": dataset.note}
    facts = {"root": None, "source": "array", "encoder": None, "data": data, "samples": _described(X)}
    thumbnails: list[bytes | None] | None = None if pictures is None else [_small(picture) for picture in pictures]
    return Samples(X, items, np.arange(len(X)), thumbnails, labels, facts, [])


def _row(path: str, *, content: bytes, width: int, height: int, kind: str = "array") -> dict[str, Any]:
    return {
        "id": content_id(content),
        "path": path,
        "path_bytes": path.encode(),
        "size": len(content),
        "width": width,
        "height": height,
        "format": kind,
        "status": "ok",
    }


def _described(X: npt.NDArray[Any]) -> dict[str, Any]:
    """Say what the samples are, so that new ones can be brought into the same form."""
    facts: dict[str, Any] = {"from": "pixels" if X.dtype == np.uint8 and X.ndim > 2 else "array"}
    facts |= {"shape": list(X.shape[1:]), "dtype": str(X.dtype)}
    if X.dtype.kind == "f" and X.ndim > 2:
        facts["range"] = [float(X.min()), float(X.max())]
    return facts


def as_pictures(X: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | None:
    """Return images of any kind as uint8 of shape (n, h, w) or (n, h, w, 3), or None if they are no images."""
    if X.ndim == 4 and X.shape[1] > 4 >= X.shape[3]:  # the channels come last
        X = X.transpose(0, 3, 1, 2)
    if X.ndim not in (3, 4) or 0 in X.shape:
        return None
    if X.dtype != np.uint8:
        finite = X[np.isfinite(X)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        scale = 255 / (high - low) if 0 < high - low < math.inf else 0.0
        X = np.nan_to_num((X - low) * scale, posinf=255, neginf=0).astype(np.uint8)
    if X.ndim == 4 and X.shape[1] == 3:
        return X.transpose(0, 2, 3, 1)
    return X if X.ndim == 3 else X[:, 0] if X.shape[1] == 1 else X.mean(1).astype(np.uint8)


def in_colors(images: npt.NDArray[np.uint8], channels: int) -> npt.NDArray[np.uint8]:
    """Return images of shape (n, c, h, w) with one channel, gray, or with three."""
    if images.shape[1] == channels:
        return images
    if images.shape[1] == 1:
        return np.repeat(images, channels, axis=1)
    weights = np.array([299, 587, 114], np.float32) / 1000  # as Pillow and television do
    return np.rint(np.einsum("nchw,c->nhw", images, weights)).astype(np.uint8)[:, None]


def _small(picture: npt.NDArray[np.uint8]) -> bytes:
    side = max(picture.shape[:2])
    if side < _SMALL:
        picture = picture.repeat(-(-_SMALL // side), axis=0).repeat(-(-_SMALL // side), axis=1)
    return thumbnail(np.ascontiguousarray(picture), size=min(_THUMBNAIL, max(picture.shape[:2])))


def _of_features(source: Source, encoder: Encoder | None, progress: Progress) -> Samples:
    network = encoder or load_encoder()
    with Cache() as cache:
        extracted = extract(source, network, cache, progress=progress)
    X = Encoded.of(source.items, extracted)
    items = list(extracted.rows(source.items))
    known = [extracted.entries.get(content) for content in extracted.ids]
    described = {"from": "features", "shape": [X.features.shape[1]], "dtype": "float32"}
    facts = _of_source(source) | {"encoder": network.describe(), "samples": described}
    thumbnails = [entry.thumbnail if entry else None for entry in known]
    return Samples(X, items, _readable(items), thumbnails, None, facts, source.warnings)


def _of_pixels(source: Source, size: int, progress: Progress) -> Samples:
    """Decode own pictures once: to pixels as `load_dataset` gives them, with what the run says of each file."""
    preprocessing = Preprocessing(size)
    n = len(source.items)
    thumbnails: list[bytes | None] = [None] * n
    items = [
        {"id": "", "path": display_path(item.path), "path_bytes": os.fsencode(item.path), "size": item.size}
        | {"width": 0, "height": 0, "format": "", "status": item.problem}
        for item in source.items
    ]
    try:
        pixels = np.empty((n, 3, size, size), np.uint8)
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{n:,} pictures of {size}×{size} pixels do not fit into memory: they take {3 * n * size * size:,} bytes. "
            "Take fewer pixels."
        ) from error

    def settle(index: int) -> None:
        item = items[index]
        try:
            data = source.load(index)
            item["id"] = content_id(data if isinstance(data, bytes) else source.read(index))
            picture = decode(data, preprocessing) if isinstance(data, bytes) else from_array(data, preprocessing)
        except Unreadable as error:
            item["status"] = str(error)
            return
        pixels[index] = picture.pixels.transpose(2, 0, 1)
        thumbnails[index] = _small(picture.pixels)
        item |= {"width": picture.width, "height": picture.height, "format": picture.format, "status": "ok"}

    with Threads("decode") as pool:
        for_each(pool, settle, n, "decode", progress)
    rows = _readable(items)
    if len(rows) == 0:
        example = f"{items[0]['path']} ({items[0]['status']})"
        raise DataError(f"None of {n} files is a readable picture, such as {example}. Pass others.")
    X = pixels if len(rows) == n else pixels[rows]
    if all((image == image[:1]).all() for image in X):
        X = np.ascontiguousarray(X[:, :1])  # all are gray
    facts = _of_source(source) | {"encoder": None, "samples": _described(X)}
    return Samples(X, items, rows, thumbnails, None, facts, source.warnings)


def _of_source(source: Source) -> dict[str, Any]:
    name = display_path(Path(source.root).name) if source.root else "pictures"
    return {"root": source.root or None, "source": source.kind, "data": {"name": name, "n": len(source.items)}}


def _readable(items: list[dict[str, Any]]) -> npt.NDArray[np.int64]:
    return np.flatnonzero([item["status"] == "ok" for item in items])
