"""Find pictures of a run by path, in any common spelling."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.sources import display_path, printable


class Locator:
    """Finds the rows of pictures by path.

    Parameters
    ----------
    clusters : Clusters
    """

    def __init__(self, clusters: Clusters) -> None:
        exact = map(os.fsdecode, clusters.items.column("path_bytes").to_pylist())
        self._rows = {path: row for row, path in enumerate(exact)}
        self._root = str(clusters.run.get("root") or "") if clusters.run.get("source") in ("folder", "list") else ""

    def rows(self, paths: Iterable[str]) -> list[int]:
        """Return the rows of pictures.

        Parameters
        ----------
        paths : iterable of str
            As the run has them, absolute, relative to the current folder (as a shell completes them) or to the scanned
            folder, or as selfsort prints them.

        Raises
        ------
        DataError
            If there is no such picture, or the path is ambiguous.
        """
        return [self._row(path) for path in paths]

    def _row(self, path: str) -> int:
        here, there = self._on_disk(path), self._rows.get(path)
        if there is None and path:
            there = self._rows.get(os.path.normpath(path))
        explicit = path.startswith(("./", "../", "/")) or Path(path).is_absolute()
        if here is not None and there not in (None, here) and not explicit:
            raise DataError(
                f"{printable(path)!r} could be two pictures: one from the current folder, one from the scanned folder "
                f"{display_path(self._root)}. Write ./{printable(path)} for the first, or absolute paths."
            )
        if here is None:
            here = there
        if here is not None:
            return here
        similar = self._printed.get(path, self._printed.get(_composed(path), []))
        if len(similar) == 1:
            return similar[0]
        if similar:
            raise DataError(
                f"{printable(path)!r} is how {len(similar)} pictures of the run are printed. Pass the exact names, for "
                "example from: selfsort list RUN -0"
            )
        raise DataError(f"The run has no picture {printable(path)!r}. To see what it has: selfsort list RUN")

    def _on_disk(self, path: str) -> int | None:
        """Return the row of a file on disk, also if its folder or the scanned folder is reached through a link."""
        if not self._root or not path:
            return None
        absolute = Path(os.path.abspath(path))  # noqa: PTH100  (a link keeps its name)
        for file, root in (
            (absolute, Path(self._root)),
            (absolute.parent.resolve() / absolute.name, Path(self._root).resolve()),
        ):
            if file.is_relative_to(root) and (row := self._rows.get(file.relative_to(root).as_posix())) is not None:
                return row
        return self._rows.get(str(absolute))  # lists may span several drives

    @cached_property
    def _printed(self) -> dict[str, list[int]]:
        """Rows by displayed path."""
        found: dict[str, list[int]] = {}
        for path, row in self._rows.items():
            for spelling in {printable(path), display_path(path), _composed(path)}:
                found.setdefault(spelling, []).append(row)
        return found


def _composed(path: str) -> str:
    """Return a path with accents in one normal form: shells and keyboards give either."""
    return unicodedata.normalize("NFC", path)
