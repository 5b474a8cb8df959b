"""Known image data sets by name, and one's own pictures wherever a name works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.arguments import CALL, TEXT, WHOLE, checked, optional
from selfsort.datasets.catalog import SPECS, normal
from selfsort.datasets.files import read
from selfsort.datasets.pictures import Pictures, open_pictures, resize
from selfsort.datasets.places import find
from selfsort.errors import DataError
from selfsort.pixels import Preprocessing
from selfsort.runtime import Progress, silent

__all__ = ["DATASETS", "Dataset", "Pictures", "as_published", "load_dataset"]

#: What each name stands for, in a line.
DATASETS: Mapping[str, str] = {
    "digits": "handwritten digits that come with scikit-learn: 1,797 gray pictures, 8×8, 10 classes",
    **{name: spec.description for name, spec in SPECS.items()},
}

_BY_SPELLING = {normal(name): name for name in DATASETS}
_OWN_SIZE = 64


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures, and what is known of them.

    Attributes
    ----------
    name : str
        Such as ``"mnist"``; the name of the folder or archive of own pictures; ``"array"``.
    split : str
        ``"train"``, ``"test"``, ``"unlabeled"`` or ``"all"``.
    images : ndarray of uint8, shape (n, c, h, w), or Pictures
        `Pictures` reads like one; other arrays are as they were given.
    labels : ndarray of int64, shape (n,), or None
        For evaluation only; None for own pictures.
    classes : tuple of str
        What the labels mean; empty where there are none.
    paths : list of str, or None
        The picture that each row belongs to, for own pictures.
    note : str
        In what the pictures differ from the published ones; empty if in nothing.
    """

    name: str
    split: str
    images: npt.NDArray[Any] | Pictures
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    paths: list[str] | None = None
    note: str = ""


@checked(split=optional(TEXT), size=optional(WHOLE), progress=CALL)
def load_dataset(
    data: Any, split: str | None = None, *, size: int | None = None, progress: Progress = silent
) -> Dataset:
    """Load a data set by its name, or own pictures.

    A known set is looked for under the folder that ``SELFSORT_DATA`` names (in a sub-folder of the set's name, archives
    also directly), in selfsort's cache, and where Debian installs it. If it is nowhere, it is downloaded into the
    cache and its checksum compared.

    Parameters
    ----------
    data : str, path, sequence or ndarray
        One of `DATASETS`, spelled as one likes (``"cifar10"``); or what `selfsort.sources.open_source` reads: a folder,
        an archive, a list of paths. A name comes before a path: for a folder called mnist pass ``"./mnist"`` or a
        `Path`. An array of uint8 of shape (n, h, w), (n, c, h, w) or (n, h, w, c), c being 1 or 3 (and first, where
        both could be), is brought into the second form; every other array with rows, such as (n, d) features or
        floats, is passed on unchanged.
    split : str, optional
        ``"train"``, ``"test"`` or ``"all"``, for STL-10 also ``"unlabeled"``. Without it all: train and then test,
        pooled, as is usual for clustering. digits, own pictures and arrays only have all.
    size : int, optional
        Side of the squares that pictures are scaled to, 1 to 4096 pixels. Without it, known sets and arrays stay as
        they are and own pictures are squashed to 64.
    progress : callable
        Stages "download" (bytes), "decode" and "resize" (pictures).

    Returns
    -------
    Dataset
        Own pictures are an array if that takes no more than a gigabyte, else `Pictures`.

    Warns
    -----
    UserWarning
        If own files are left out because they are not readable pictures; all are decoded once to find that out.

    Raises
    ------
    DataError
        The set is nowhere to be found, one of its files is damaged, there is no such split or size, there is nothing
        at the path, or no picture there can be read.

    Examples
    --------
    >>> digits = load_dataset("digits")
    >>> digits.images.shape, digits.labels[:5]
    ((1797, 1, 8, 8), array([0, 1, 2, 3, 4]))
    """
    if size is not None:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise DataError(f"The size must be a whole number of pixels: got {size!r}.")
        size = Preprocessing(int(size)).size
    name = _BY_SPELLING.get(normal(data)) if isinstance(data, str) else None
    if name in SPECS:
        return _known(name, split, size, progress)
    if split not in (None, "all"):
        what = name or ("arrays" if isinstance(data, np.ndarray) else "own pictures")
        raise DataError(f"There are no splits in {what}: got split={split!r}. Leave it out.")
    if name == "digits":
        return _digits(size, progress)
    if isinstance(data, np.ndarray):
        return Dataset("array", "all", _array(data, size, progress))
    if isinstance(data, str) and not _is_there(data):
        raise DataError(
            f"{data!r} is neither a data set ({', '.join(DATASETS)}) nor a path at which there is anything. "
            "Check how it is written."
        )
    images, paths, own_name = open_pictures(data, size or _OWN_SIZE, progress)
    return Dataset(own_name, "all", images, paths=paths)


def as_published(name: str, progress: Progress = silent) -> bool:
    """Return whether a set's pictures here are the published ones, not re-encoded as JPEG. They are not read."""
    return name not in SPECS or find(name, SPECS[name], "all", progress).kind != "jpeg"


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # open_source says what is wrong with it
        return True


def _known(name: str, split: str | None, size: int | None, progress: Progress) -> Dataset:
    spec = SPECS[name]
    split = split or "all"
    if split not in spec.choices:
        raise DataError(f"{spec.title} has the splits {', '.join(spec.choices)}: got {split!r}.")
    images, labels, note = read(find(name, spec, split, progress), spec, split, progress)
    if size is not None:
        images = resize(images, size, progress)
    return Dataset(name, split, images, labels, spec.classes if labels is not None else (), note=note)


def _digits(size: int | None, progress: Progress) -> Dataset:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)  # stored as 0 to 16
    if size is not None:
        images = resize(images, size, progress)
    return Dataset("digits", "all", images, labels.astype(np.int64), tuple("0123456789"))


def _array(array: npt.NDArray[Any], size: int | None, progress: Progress) -> npt.NDArray[Any]:
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(f"An array of shape {array.shape} has no samples. Pass (n, d) features or (n, h, w) pictures.")
    if array.dtype != np.uint8 or array.ndim == 2:
        if size is not None:
            raise DataError(f"Only uint8 pictures can be resized: got {array.dtype} of shape {array.shape}.")
        return array
    if array.ndim == 3 and array.shape[2] not in (1, 3):  # (h, w, 3) is a single picture
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise DataError(
            f"An array of uint8 of shape {array.shape} does not hold pictures of 1 or 3 channels. "
            "Pass (n, h, w), (n, c, h, w) or (n, h, w, c)."
        )
    return array if size is None else resize(array, size, progress)
