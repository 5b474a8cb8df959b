"""A run and its catalog together: groups as they are after corrections, and corrections by the run's own numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrections import Log
from selfsort.photos.state import NOWHERE, State, apply
from selfsort.run_schema import parse_json
from selfsort.runtime import counted


class Corrected:
    """A run with what people said of it since; a context manager.

    Parameters
    ----------
    run : path
        A run folder of `selfsort.organize`, whose catalog lies beside it.
    read_only : bool
        Whether nothing may be corrected; then nothing is written, not even beside the catalog.

    Attributes
    ----------
    clusters : Clusters
    catalog : Catalog
    log : Log
        For adding corrections, and undoing them.

    Raises
    ------
    DataError
        If there is no run, or no catalog that knows it.
    """

    def __init__(self, run: str | Path, *, read_only: bool = False) -> None:
        self.clusters = Clusters.load(run)
        self.catalog = Catalog(catalog_path(Path(run).resolve()), make=False, read_only=read_only)
        self.log = Log(self.catalog)
        self._ids: list[str] = self.clusters.items.column("id").to_pylist()
        grouping = self.catalog.grouping(str(self.clusters.run.get("fingerprint")))
        self._taught = {content: key for content, (_, key) in grouping.items()}
        if not self._taught and self.clusters.ok.any():
            self.catalog.close()
            raise DataError(
                f"The catalog {self.catalog.path} does not know the groups of {run}: it keeps those of the last runs. "
                "Make the run again with selfsort organize."
            )

    def __enter__(self) -> Corrected:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the catalog."""
        self.catalog.close()

    def state(self) -> State:
        """Return the groups as they are now."""
        return apply(self._taught, self.log.entries())

    def group(self, number: int) -> int:
        """Return the key of a group by its number at the run's default level; by the key if it is a person's own."""
        level = self.clusters.run["level"]
        keys = {group["group"]: int(group["key"]) for group in self.clusters.groups if group["level"] == level}
        if number in keys:
            return self.state().resolve(keys[number])
        if number < NOWHERE and number in self.state().groups.values():
            return number
        own = sorted({key for key in self.state().groups.values() if key < NOWHERE}, reverse=True)
        which = "no groups" if not keys else "group 0" if len(keys) == 1 else f"groups 0 to {len(keys) - 1}"
        which += f", and {', '.join(map(str, own))} of your own" if own else ""
        raise DataError(f"The run has {which}: got {number}.")

    def pictures(self, paths: Iterable[str]) -> list[str]:
        """Return the contents of pictures by their paths in the run.

        Raises
        ------
        DataError
            If there is no such picture, or it could not be read.
        """
        rows = {os.fsdecode(path): row for row, path in enumerate(self.clusters.items.column("path_bytes").to_pylist())}
        contents = []
        for path in paths:
            row = rows.get(path)
            if row is None:
                raise DataError(
                    f"The run has no picture {path!r}. Paths are as `selfsort export --mode csv` gives them."
                )
            if self._ids[row] not in self._taught:
                raise DataError(f"{path!r} could not be read, so it is in no group.")
            contents.append(self._ids[row])
        return contents

    def correct(
        self, do: str, *, groups: Sequence[int] = (), paths: Sequence[str] = (), name: str | None = None
    ) -> list[int]:
        """Add a correction that names groups by their numbers and pictures by their paths.

        Parameters
        ----------
        do : str
            See `selfsort.photos.corrections.Log.add`. Of ``merge`` the first group stays; ``lock`` and ``not-this``
            take no group: it is the one that each picture is in.
        groups : sequence of int
            See `group`.
        paths : sequence of str
            See `pictures`.
        name : str, optional
            For ``rename``; an empty one takes the name away.

        Returns
        -------
        list of int
            Numbers of the entries.
        """
        return self.add(do, keys=[self.group(number) for number in groups], contents=self.pictures(paths), name=name)

    def add(
        self, do: str, *, keys: Sequence[int] = (), contents: Sequence[str] = (), name: str | None = None
    ) -> list[int]:
        """Add a correction that names groups by their keys and pictures by their contents; otherwise as `correct`."""
        if do == "merge":
            if len(set(keys)) < 2:
                raise DataError("merge needs two different groups or more.")
            return [self.log.add(do, groups=keys[1:], into=keys[0])]
        if do in ("lock", "not-this"):
            now = self.state().groups
            by_group: dict[int, list[str]] = {}
            for content in contents:
                by_group.setdefault(now[content], []).append(content)
            if NOWHERE in by_group:
                path = self._path(by_group[NOWHERE][0])
                raise DataError(f"{do} needs pictures that are in a group: {path!r} belongs nowhere.")
            return self.log.add_together([{"do": do, "pictures": of, "group": key} for key, of in by_group.items()])
        if do == "cannot-link" and contents:
            state = self.state()
            beside = [content for content in contents[1:] if state.groups.get(content) == state.groups.get(contents[0])]
            fast = [c for c in beside if c != contents[0] and {c, contents[0]} <= state.locked]
            if fast:
                first, other = self._path(contents[0]), self._path(fast[0])
                raise DataError(f"{first!r} and {other!r} are locked in one group: unlock one before they can part.")
        body: dict[str, object] = {"pictures": contents} if contents else {}
        if keys:
            body["group"] = keys[0]
        if name is not None:
            body["name"] = name
        return [self.log.add(do, **body)]

    def _path(self, content: str) -> str:
        return os.fsdecode(self.clusters.items.column("path_bytes")[self._ids.index(content)].as_py())

    def labels(self) -> tuple[np.ndarray, Sequence[int]]:
        """Return the group of every row, -1 for none, the largest group first, and the key of each group."""
        from selfsort.features.graph import by_size

        groups = self.state().groups
        keys = np.array([groups.get(content, NOWHERE) for content in self._ids], np.int64)
        known = np.unique(keys[keys != NOWHERE])
        labels = by_size(np.where(keys == NOWHERE, NOWHERE, np.searchsorted(known, keys)))
        order = [int(keys[np.flatnonzero(labels == group)[0]]) for group in range(len(known))]
        return labels, order


@contextmanager
def opened(run: str | Path) -> Iterator[tuple[Clusters, Corrected | None]]:
    """Yield a run, and with it its catalog where there is one: nothing is written.

    Raises
    ------
    DataError
        If the run was made with corrections and its catalog is not there.
    """
    if check_at_hand(run):
        with Corrected(run, read_only=True) as corrected:
            yield corrected.clusters, corrected
        return
    yield Clusters.load(run), None


def lacks_catalog(run: str | Path) -> str:
    """Say so if a run of `selfsort.organize` has no catalog beside it, as corrections may be lacking; else nothing."""
    if "n_corrections" not in _facts(run) or catalog_path(Path(run).resolve()).exists():
        return ""
    return "There is no catalog beside the run: what was corrected since it was made is not taken into account."


def check_at_hand(run: str | Path) -> bool:
    """Tell whether a run is one of pictures that a catalog lies beside: then there may be corrections.

    Raises
    ------
    DataError
        If the run was made with corrections, and there is none, or an empty file.
    """
    n = _facts(run).get("n_corrections")
    path = catalog_path(Path(run).resolve())
    if n and not (path.exists() and path.stat().st_size):
        raise DataError(
            f"{run} was made with {counted(n, 'correction')}, and its catalog {path}, which has them, is "
            f"{'empty' if path.exists() else 'not there'}. Put it back, or a backup of it (selfsort catalog RUN "
            "--backup FILE makes them); to begin anew without them, move the run away, too."
        )
    return n is not None and path.exists()


def _facts(run: str | Path) -> dict[str, Any]:
    try:
        facts = parse_json((Path(run) / "run.json").read_bytes())
    except (OSError, ValueError):  # no run, which loading it explains
        return {}
    return facts if isinstance(facts, dict) else {}
