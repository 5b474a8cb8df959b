"""Which tags the sidecar of a picture gets, and what is in the sidecars that are there."""

from __future__ import annotations

import stat
from pathlib import Path

from selfsort.clusters import Clusters
from selfsort.images import Unreadable
from selfsort.photos.belonging import KnownSidecars
from selfsort.photos.export_plan import Operation
from selfsort.photos.originals import Originals
from selfsort.photos.outcome import Outcome
from selfsort.photos.writer import Writer
from selfsort.photos.xmp import Tags, merge
from selfsort.photos.xmp_text import MAX_BYTES


class Sidecars:
    """Writes the groups of pictures into their sidecars.

    Parameters
    ----------
    clusters, outcome
    hidden : bool
        Whether hidden pictures have tags.
    """

    def __init__(self, clusters: Clusters, outcome: Outcome, *, hidden: bool) -> None:
        self._outcome, self._hidden = outcome, hidden
        self._kinds = _kinds_of_groups(clusters)
        self._known: KnownSidecars | None = None

    def make(self, operation: Operation, destination: Path, writer: Writer, originals: Originals) -> bool:
        """Make or change one sidecar; return whether there was anything to do.

        In another folder than that of the originals, a sidecar begins with what the one beside the original says.

        Raises
        ------
        Unreadable
            If the original is not what the run saw, or the sidecar that is there cannot be changed.
        OSError
            If it cannot be written.
        """
        path = destination / operation.target
        before = read_sidecar(path)
        tags = self._tags(operation, originals)
        start = before
        if start is None and originals.archive is None and originals.root / operation.target != path:
            start = read_sidecar(originals.root / self._beside(originals).find(operation.target))
        if start is None and tags == Tags():
            return False
        content = merge(start, tags)
        if content == before:
            return False
        writer.put(operation.target, before, content)
        return True

    def _beside(self, originals: Originals) -> KnownSidecars:
        """Return the sidecars beside the originals."""
        if self._known is None:
            self._known = KnownSidecars(originals.root, originals.paths)
        return self._known

    def _tags(self, operation: Operation, originals: Originals) -> Tags:
        """Return the tags of all pictures that share a sidecar. Raises Unreadable if none is what the run saw."""
        tags, reasons = Tags(), []
        rows = (operation.row, *operation.others)
        for row in rows:
            try:
                originals.check(row)
            except Unreadable as error:
                reasons.append(error)
                continue
            group = int(self._outcome.labels[row])
            if group >= 0 and (self._hidden or not self._outcome.hidden[row]):
                name, kind = self._outcome.name(group), self._kinds.get(row)
                tags |= Tags((name,), ((kind, name) if kind else (name,),))
        if len(reasons) == len(rows):
            raise reasons[0]
        return tags


def _kinds_of_groups(clusters: Clusters) -> dict[int, str]:
    """Return row -> kind, where the run's coarsest level is that of kinds."""
    names = {g["group"]: g["kind"] for g in clusters.groups if g.get("kind")}
    if not names or clusters.run["level"] == 0:
        return {}
    return {row: str(names[group]) for row, group in enumerate(clusters.levels[:, 0].tolist()) if group in names}


def read_sidecar(path: Path) -> bytes | None:
    """Return what is there, None if nothing is. Raises Unreadable if it is no file to be changed."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"{path.name} is there and is no file")
        if found.st_size > MAX_BYTES:
            raise Unreadable(f"the sidecar is larger than {MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unreadable(f"its sidecar cannot be read: {error.strerror}") from error
