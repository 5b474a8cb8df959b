"""A run and its catalog together: groups as they are after corrections, and corrections by the run's own numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrections import Log, opposite
from selfsort.photos.locate import Locator
from selfsort.photos.state import NOWHERE, Entry, State, apply, connected
from selfsort.run_schema import parse_json
from selfsort.runtime import counted
from selfsort.sources import printable


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
        level = self.clusters.run["level"]
        of_level = sorted((g for g in self.clusters.groups if g["level"] == level), key=lambda g: int(g["group"]))
        self._run_keys = [int(group["key"]) for group in of_level if "key" in group]
        if not self._taught and self.clusters.ok.any():
            self.catalog.close()
            raise DataError(
                f"The catalog {self.catalog.path} does not know the groups of {run}: it keeps those of the last runs. "
                "Make the run again with selfsort organize."
            )
        if not read_only and (lacking := self._unnumbered(self.state(), self.catalog.group_numbers())):
            self.catalog.number_groups(lacking)

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

    def numbers(self, state: State) -> dict[int, int]:
        """Return key -> number of every group that there is or was.

        A group keeps its number in every run of the library. In a catalog that is only read and does not know the
        number of a group yet, the group has the number that it will get.
        """
        numbers = self.catalog.group_numbers()
        first = max(numbers.values(), default=-1) + 1
        return numbers | {key: first + i for i, key in enumerate(self._unnumbered(state, numbers))}

    def _unnumbered(self, state: State, numbers: Mapping[int, int]) -> list[int]:
        there = [*self._run_keys, *sorted(set(state.groups.values()) - {NOWHERE}, key=abs)]
        return [key for key in dict.fromkeys(there) if key not in numbers]

    def group(self, number: int) -> int:
        """Return the key of a group by its number; of one that was merged, the key of the group it is a part of."""
        state = self.state()
        numbers = self.numbers(state)
        there = {*self._run_keys, *state.groups.values()} - {NOWHERE}
        for key, of_key in numbers.items():
            if of_key == number and (into := state.resolve(key)) in there:
                return into
        listed = ", ".join(map(str, sorted(numbers[key] for key in set(state.groups.values()) - {NOWHERE})))
        raise DataError(f"There is no group {number}. The groups are {listed or 'none'} (see selfsort groups).")

    def pictures(self, paths: Iterable[str]) -> list[str]:
        """Return the contents of pictures by their paths, see `selfsort.photos.locate.Locator`.

        Raises
        ------
        DataError
            If there is no such picture, or it could not be read.
        """
        paths = list(paths)
        contents = [self._ids[row] for row in Locator(self.clusters).rows(paths)]
        for path, content in zip(paths, contents, strict=True):
            if content not in self._taught:
                raise DataError(f"{printable(path)!r} could not be read, so it is in no group.")
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
            Numbers of the entries; empty if it was so already: then nothing is added.

        Raises
        ------
        DataError
            If there is no such group or picture, or an earlier correction says the opposite.
        """
        return self.add(do, keys=[self.group(number) for number in groups], contents=self.pictures(paths), name=name)

    def add(
        self, do: str, *, keys: Sequence[int] = (), contents: Sequence[str] = (), name: str | None = None
    ) -> list[int]:
        """Add a correction that names groups by their keys and pictures by their contents; otherwise as `correct`."""
        bodies = self._bodies(do, keys, contents, name)
        entries, state = self.log.entries(), self.state()
        new = self.log.planned(bodies)
        for entry in new:
            self._check(entries, state, entry)
        if apply(self._taught, [*entries, *new]).same(state):
            return []
        return self.log.add_together(bodies)

    def redo(self, number: int | None = None) -> Entry:
        """Do again what was undone, see `Log.redo`, unless a later correction says the opposite."""
        entries, state = self.log.entries(), self.state()
        for entry in self.log.redone(number):
            self._check(entries, state, entry)
        return self.log.redo(number)

    def _bodies(self, do: str, keys: Sequence[int], contents: Sequence[str], name: str | None) -> list[dict[str, Any]]:
        """Return the bodies of the entries that a correction adds: those on a picture's own group have one for each."""
        if do == "merge":
            if len(set(keys)) < 2:
                raise DataError("merge needs two different groups or more.")
            return [{"do": do, "groups": keys[1:], "into": keys[0]}]
        if do in ("lock", "not-this"):
            now = self.state().groups
            by_group: dict[int, list[str]] = {}
            for content in contents:
                by_group.setdefault(now[content], []).append(content)
            if NOWHERE in by_group:
                path = self._path(by_group[NOWHERE][0])
                raise DataError(f"{do} needs pictures that are in a group: {path!r} belongs nowhere.")
            return [{"do": do, "pictures": of, "group": key} for key, of in by_group.items()]
        body: dict[str, Any] = {"do": do, "pictures": contents} if contents else {"do": do}
        if keys:
            body["group"] = keys[0]
        if name is not None:
            body["name"] = name
        return [body]

    def _check(self, entries: Sequence[Entry], state: State, entry: Entry) -> None:
        """Refuse links that cannot hold beside what was said before."""
        if entry.do not in ("must-link", "cannot-link"):
            return
        if found := opposite(entries, entry):
            first, other, numbers = found
            together, apart = "belong together", "do not belong together"
            before, now = (apart, together) if entry.do == "must-link" else (together, apart)
            which, say = ("correction", "says") if len(numbers) == 1 else ("corrections", "say")
            listed = " and ".join(map(str, numbers))
            raise DataError(
                f"{self._path(first)!r} and {self._path(other)!r} {before}, as {which} {listed} {say}, so this cannot "
                f"say that they {now}. Undo {which} {listed} first: selfsort correct RUN undo {numbers[-1]}"
            )
        linked = set(entry.body["pictures"])
        if entry.do == "must-link":
            linked = next(set(of) for of in connected([*state.together, tuple(linked)]) if linked <= set(of))
        fast = [content for content in state.groups if content in linked & state.locked]
        of_group = {state.groups[content]: content for content in reversed(fast)}
        if entry.do == "must-link" and len(of_group) > 1:
            first, other = (self._path(content) for content in list(of_group.values())[:2])
            raise DataError(f"{first!r} and {other!r} are locked in two groups: unlock one before they can be linked.")
        first, *others = entry.body["pictures"]
        beside = [content for content in others if content in fast and state.groups[content] == state.groups.get(first)]
        if entry.do == "cannot-link" and first in fast and beside:
            one, other = self._path(first), self._path(beside[0])
            raise DataError(f"{one!r} and {other!r} are locked in one group: unlock one before they can part.")

    def _path(self, content: str) -> str:
        if content not in self._ids:
            return "a picture that is gone"
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
