"""The pictures of a run read again, each only if it still is what the run saw."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import xxhash

from selfsort.clusters import Clusters
from selfsort.images import Unreadable
from selfsort.sources import Source, open_source
from selfsort.sources.disk import pieces

CHANGED = "the original has changed since the run"


class Originals:
    """Where the pictures of a run are; a context manager.

    Attributes
    ----------
    root : Path
        Of the scanned folder, or the archive.
    paths : list of str
        Of each row, relative to the root.
    archive : Source, optional
        What is open if the pictures are in an archive.
    """

    def __init__(self, clusters: Clusters) -> None:
        self.archive: Source | None = None
        self.root = Path(clusters.run.get("root") or "")
        self.paths = [os.fsdecode(path) for path in clusters.items.column("path_bytes").to_pylist()]
        self._ids = clusters.items.column("id").to_pylist()
        self._sizes = clusters.items.column("size").to_pylist()
        self._indices: dict[str, int] = {}
        if clusters.run.get("source") in ("tar", "zip"):
            self.archive = open_source(self.root)
            self._indices = {item.path: i for i, item in enumerate(self.archive.items)}

    def __enter__(self) -> Originals:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.archive:
            self.archive.close()

    def stands(self, row: int) -> bool:
        """Tell whether there still is a file of the same size, without reading it."""
        if self.archive is not None:
            return self.paths[row] in self._indices
        try:
            found = (self.root / self.paths[row]).stat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == self._sizes[row]

    def check(self, row: int) -> tuple[Path, int | None]:
        """Compare a picture with what the run saw, piece by piece. Raises Unreadable if it is another.

        Returns
        -------
        Path
            The file on disk, or the archive.
        int or None
            Of a member of an archive, its time in nanoseconds since 1970.
        """
        if self.archive is not None:
            path, _, mtime_ns = self.read(row)
            return path, mtime_ns
        path = self.root / self.paths[row]
        digest = xxhash.xxh3_128()
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != self._sizes[row]:  # do not wait for a pipe
                raise Unreadable(CHANGED)
            for piece in pieces(path, self._sizes[row]):
                digest.update(piece)
        except OSError as error:
            raise Unreadable(f"the original cannot be read: {error.strerror}") from error
        if digest.hexdigest() != self._ids[row]:
            raise Unreadable(CHANGED)
        return path, None

    def digest(self, row: int) -> str:
        """Return the content hash that the run has of a picture."""
        return str(self._ids[row])

    def read(self, row: int) -> tuple[Path, bytes, int | None]:
        """Return the file on disk, the picture's bytes, and for a member of an archive its time. Raises Unreadable."""
        path, mtime_ns = self.root / self.paths[row], None
        if self.archive is not None:
            i = self._indices.get(self.paths[row])
            if i is None:
                raise Unreadable("it is not in the archive any more")
            path, content, mtime_ns = self.root, self.archive.read(i), self.archive.items[i].mtime_ns
        else:
            try:
                found = path.stat()
                if not stat.S_ISREG(found.st_mode) or found.st_size != self._sizes[row]:  # do not wait for a pipe
                    raise Unreadable(CHANGED)
                content = path.read_bytes()
            except OSError as error:
                raise Unreadable(f"the original cannot be read: {error.strerror}") from error
        if xxhash.xxh3_128_hexdigest(content) != self._ids[row]:
            raise Unreadable(CHANGED)
        return path, content, mtime_ns
