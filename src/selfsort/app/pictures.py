"""Pictures for the page: small ones from the run, larger ones made when they are asked for and kept on the disk."""

from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import atomic_write
from selfsort.images import Unreadable
from selfsort.photos.looks import upright
from selfsort.photos.originals import Originals
from selfsort.runtime import cache_dir

#: Longer sides in pixels of a tile and of a picture looked at by itself; only tiles are kept.
TILE, LARGE = 320, 1600
_QUALITY = 82
#: Bytes of tiles that are kept at most; the oldest go first.
_KEPT_BYTES = 2 << 30


class Pictures:
    """The pictures of one run; may be used from many threads.

    Parameters
    ----------
    clusters : Clusters
    """

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._ids = clusters.items.column("id").to_pylist()
        self._sizes = [clusters.items.column(name).to_numpy() for name in ("width", "height")]
        self._originals: Originals | None = None
        self._lock = threading.Lock()
        self._folder = cache_dir() / "tiles"

    def small(self, row: int) -> bytes | None:
        """Return the run's own thumbnail as a JPEG, squashed to a square; None if there is none."""
        return self._clusters.thumbnail(row)

    def tile(self, row: int) -> bytes:
        """Return a JPEG of `TILE`; see `large`."""
        path = self._folder / self._ids[row][:2] / f"{self._ids[row]}.jpg"
        with contextlib.suppress(OSError):
            return path.read_bytes()
        made = self._made(row, TILE)
        if made is None:
            return self._stretched(row)
        with contextlib.suppress(OSError):  # a full disk costs time, nothing else
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(made)
        return made

    def large(self, row: int) -> bytes:
        """Return a JPEG of `LARGE`; of an original that is gone or has changed, what the run has of it, enlarged."""
        made = self._made(row, LARGE)
        return made if made is not None else self._stretched(row)

    def is_missing(self, row: int) -> bool:
        """Tell whether there was an original, and it is gone or has another size now."""
        try:
            return not self._opened().stands(row)
        except DataError:  # the archive itself is gone
            return True
        except Unreadable:
            return False

    def _made(self, row: int, side: int) -> bytes | None:
        longest = int(max(sizes[row] for sizes in self._sizes))
        try:
            return _jpeg(upright(self._read(row), max(1, min(side, longest))))
        except Unreadable:
            return None

    def _opened(self) -> Originals:
        if self._clusters.run.get("source") == "array" or not self._clusters.run.get("root"):
            raise Unreadable("it was an array")
        with self._lock:  # opening an archive takes a while, and once is enough
            if self._originals is None:
                self._originals = Originals(self._clusters)
            return self._originals

    def _read(self, row: int) -> bytes:
        return self._opened().read(row)[1]

    def _stretched(self, row: int) -> bytes:
        small = self.small(row)
        if small is None:
            raise Unreadable("there is no picture of it")
        width, height = (int(sizes[row]) for sizes in self._sizes)
        scale = TILE / max(width, height, 1)
        with Image.open(io.BytesIO(small)) as image:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            return _jpeg(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC)))


def prune(folder: Path | None = None, limit: int = _KEPT_BYTES) -> int:
    """Remove the oldest tiles until they take `limit` bytes or less; return how many went."""
    found = []
    for path in (folder or cache_dir() / "tiles").glob("*/*.jpg"):
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    excess, removed = sum(size for _, size, _ in found) - limit, 0
    for _, size, path in sorted(found):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            excess, removed = excess - size, removed + 1
    return removed


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
