"""The pictures of a run read again, each only if it still is what the run saw."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from pathlib import Path

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import content_id
from selfsort.images import Unreadable
from selfsort.sources import Source, open_source, printable
from selfsort.sources.disk import pieces

CHANGED = "the original has changed since the run"


def missing(clusters: Clusters) -> str:
    """Say so if none of the pictures of a run is where it was, and what to do; else return nothing."""
    root, source = Path(clusters.run.get("root") or ""), clusters.run.get("source")
    if source not in ("folder", "list", "tar", "zip"):
        return ""
    gone = not os.path.lexists(root)
    if not gone and source in ("folder", "list"):
        exact = zip(clusters.items.column("path_bytes").to_pylist(), clusters.ok.tolist(), strict=True)
        there = (os.path.lexists(root / os.fsdecode(path)) for path, ok in exact if ok)
        gone = bool(clusters.ok.any()) and not any(there)  # such as the place where a disk was mounted
    run = shlex.quote(printable(str(clusters.path))) if clusters.path else "RUN"
    return (
        f"The pictures of this run were in {printable(str(root))}, and they are not there now. Connect the disk that "
        f"they are on; or, if they were moved: selfsort organize NEW_FOLDER -o {run}"
        if gone
        else ""
    )


def check_there(clusters: Clusters) -> None:
    """Raise `DataError` if none of the pictures of a run is where it was."""
    if said := missing(clusters):
        raise DataError(said)


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
        digest = hashlib.sha256()
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
        if content_id(content) != self._ids[row]:
            raise Unreadable(CHANGED)
        return path, content, mtime_ns
