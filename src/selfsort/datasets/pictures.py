"""Own pictures as an array of one shape: kept in memory where they fit, otherwise decoded when they are asked for."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from selfsort.errors import DataError
from selfsort.images import Unreadable, decode, from_array
from selfsort.pixels import Preprocessing
from selfsort.runtime import Progress, silent
from selfsort.sources import Source, display_path, open_source
from selfsort.threads import Threads

#: Pictures whose pixels take no more than this are decoded once and kept.
KEEP_BYTES = 1 << 30
_CHUNK = 32  # pictures per task of a thread: enough to hide what handing it over costs


class Pictures:
    """Pictures of a source that read like an array of shape (n, 3, size, size); may be used from many threads.

    Every picture was decoded once when this was made, and those that cannot be read were left out, so that training
    does not meet one in its third hour. Each is squashed to the square, as for the encoders: nothing is cut off.

    Parameters
    ----------
    source : Source
        Stays open; `close` closes it.
    size : int
        Side in pixels.
    progress : callable
        Stage "decode", in pictures.

    Attributes
    ----------
    shape : tuple of int
        (n, 3, size, size).
    dtype : dtype
        uint8.
    paths : list of str
        The picture that each row belongs to.
    problems : dict of str to str
        Why each of the others is left out, by path.

    Raises
    ------
    DataError
        If no picture can be read.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, source: Source, size: int = 64, *, progress: Progress = silent) -> None:
        self._source, self._preprocessing = source, Preprocessing(size)
        # one pool for all callers: batches that are loaded beside one another do not multiply the threads
        self._pool = Threads("pictures")
        n = len(source.items)
        fits = n * 3 * size * size <= KEEP_BYTES
        self._kept = np.empty((n, 3, size, size), np.uint8) if fits else None
        why: dict[int, str] = {}

        def settle(item: int) -> None:
            try:
                pixels = self._decode(item)
            except Unreadable as error:
                why[item] = str(error)
            else:
                if self._kept is not None:
                    self._kept[item] = pixels

        try:
            for_each(self._pool, settle, n, "decode", progress)
        except BaseException:  # the source may be closed next, so nobody may read from it any more
            self._pool.close()
            raise
        names = [display_path(item.path) for item in source.items]
        self.problems = {names[item]: why[item] for item in sorted(why)}
        self._items = np.array([item for item in range(n) if item not in why], np.int64)
        self.paths = [names[item] for item in self._items]
        self.shape = (len(self._items), 3, size, size)
        if not self.paths:
            raise DataError(f"None of {n} files is a readable picture, such as {self.example()}. Pass others.")
        if self._kept is not None:
            for row, item in enumerate(self._items):  # in place: they may take half of the memory
                if row != item:
                    self._kept[row] = self._kept[item]
            self._kept = self._kept[: len(self)]
        elif int(np.prod(self.shape)) <= KEEP_BYTES:  # most files were something else
            self._kept = self[:]

    def example(self) -> str:
        """Return one of the problems with its path, for messages."""
        path, why = next(iter(self.problems.items()))
        return f"{path} ({why})"

    def _decode(self, item: int) -> npt.NDArray[np.uint8]:
        data = self._source.load(item)
        read: Callable[..., Any] = decode if isinstance(data, bytes) else from_array
        pixels: npt.NDArray[np.uint8] = read(data, self._preprocessing).pixels
        return pixels.transpose(2, 0, 1)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.uint8]:
        """Return the pixels of rows, chosen in any way that NumPy knows for the first axis.

        Parameters
        ----------
        rows : ndarray of int64, slice, int, or ndarray of bool

        Returns
        -------
        ndarray of uint8, shape (len(rows), 3, size, size)

        Raises
        ------
        DataError
            If a picture cannot be read any more.
        """
        if self._kept is not None:
            return self._kept[rows]
        items = self._items[rows]
        flat = np.ravel(items)
        pixels = np.empty((len(flat), *self.shape[1:]), np.uint8)

        def read(row: int) -> None:
            try:
                pixels[row] = self._decode(int(flat[row]))
            except Unreadable as error:
                path = display_path(self._source.items[flat[row]].path)
                raise DataError(
                    f"{path} was readable at first and is not any more: {error}. Put it back, or start without it."
                ) from error

        for_each(self._pool, read, len(flat))
        return pixels.reshape(np.shape(items) + self.shape[1:])

    def in_memory(self) -> npt.NDArray[np.uint8] | None:
        """Return all pixels, or None if they take more than `KEEP_BYTES`."""
        return self._kept

    def close(self) -> None:
        """Close the archive that they are in."""
        self._pool.close()
        self._source.close()


def open_pictures(
    data: Any, size: int, progress: Progress
) -> tuple[npt.NDArray[np.uint8] | Pictures, list[str] | None, str]:
    """Open own pictures; see `selfsort.datasets.load_dataset`, from which alone it is called.

    Returns
    -------
    images : ndarray of uint8, shape (n, 3, size, size), or Pictures
    paths : list of str, or None
        None where they came as arrays.
    name : str
    """
    source = open_source(data)
    try:
        pictures = Pictures(source, size, progress=progress)
        for warning in _warnings(pictures, source):
            warnings.warn(warning, UserWarning, stacklevel=4)
    except BaseException:
        source.close()
        raise
    kept = pictures.in_memory()
    if kept is not None:
        pictures.close()
    root = Path(source.root)
    name = root.stem if source.kind in ("tar", "zip") else root.name
    paths = None if source.kind == "array" else pictures.paths
    return pictures if kept is None else kept, paths, display_path(name) or "pictures"


def _warnings(pictures: Pictures, source: Source) -> list[str]:
    if not pictures.problems:
        return source.warnings
    left_out = f"{len(pictures.problems)} of {len(source.items)} files are left out, such as {pictures.example()}"
    return [*source.warnings, f"{left_out}; paths names the others."]


def resize(images: npt.NDArray[np.uint8], size: int, progress: Progress) -> npt.NDArray[np.uint8]:
    """Scale pictures to squares by Pillow's bicubic filter, which averages where it scales down.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, 1, h, w) or (n, 3, h, w)
    size : int
        Side in pixels.
    progress : callable
        Stage "resize", in pictures.

    Returns
    -------
    ndarray of uint8, shape (n, c, size, size)
    """
    n, channels, height, width = images.shape
    if (height, width) == (size, size):
        return images
    try:
        small = np.empty((n, channels, size, size), np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: more than there are addresses
        raise DataError(
            f"{n:,} pictures of {size}×{size} pixels do not fit into memory: they take "
            f"{n * channels * size * size:,} bytes. Pass a smaller size."
        ) from error

    def work(row: int) -> None:
        pixels = images[row, 0] if channels == 1 else np.ascontiguousarray(images[row].transpose(1, 2, 0))
        scaled = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))
        small[row] = scaled if channels == 1 else scaled.transpose(2, 0, 1)

    with Threads("resize") as pool:
        for_each(pool, work, n, "resize", progress)
    return small


def for_each(pool: Threads, work: Callable[[int], None], n: int, stage: str = "", progress: Progress = silent) -> None:
    """Call ``work(0)`` to ``work(n - 1)`` in the threads of a pool; the first exception is raised here."""
    stopping = threading.Event()

    def chunk(start: int) -> None:
        for number in range(start, min(start + _CHUNK, n)):
            if not stopping.is_set():
                work(number)

    futures = [pool.submit(chunk, start) for start in range(0, n, _CHUNK)]
    try:
        for number, future in enumerate(futures):
            future.result()
            progress(stage, min((number + 1) * _CHUNK, n), n)
    finally:  # an exception or an interrupt: what has not begun never will
        stopping.set()
        for future in futures:
            future.cancel()
