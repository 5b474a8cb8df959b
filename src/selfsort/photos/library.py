"""What a run takes from the catalog of its library, and what it leaves there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from scipy import sparse

from selfsort.features.extract import Extracted
from selfsort.photos import kind, looks
from selfsort.photos.catalog import Catalog
from selfsort.photos.changes import Changes, Scanned
from selfsort.photos.corrections import Log
from selfsort.photos.facets import Facet, read_facets
from selfsort.photos.meaning import Meaning, shown
from selfsort.photos.state import NOWHERE, Entry, State, apply
from selfsort.photos.teaching import hand_on, moved, teach
from selfsort.runtime import Progress, silent
from selfsort.sources import Source

IntArray = npt.NDArray[np.int64]


@dataclass
class Library:
    """The pictures of one library, as one run sees them.

    Attributes
    ----------
    catalog : Catalog
    changes : Changes
        What the scan found.
    entries : list of Entry
        Corrections, in order.
    looks : dict of str to dict
        Content -> numbers of `selfsort.photos.looks`; empty if they are not read.
    """

    catalog: Catalog
    changes: Changes
    entries: list[Entry]
    looks: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What a run depends on beside the pictures: the corrections that count, and whether kinds are told."""
        live = [entry.number for entry in self.entries if not entry.undone]
        seen = xxhash.xxh3_64_hexdigest("".join(sorted(self.looks)).encode()) if self.looks else None
        return f"corrections {live}, looks {seen}, {looks.VERSION}, {kind.VERSION}"

    def meaning(self, contents: Sequence[str], features: npt.NDArray[Any], longest: IntArray) -> Meaning | None:
        """Return what pictures are and show; None if they were not looked at.

        Parameters
        ----------
        contents : sequence of n str
        features : ndarray, shape (n, 1280) or with more columns
            Of the default encoder.
        longest : ndarray of int64, shape (n,)
            Longer side of each picture in pixels.
        """
        rows = [row for row, content in enumerate(contents) if self.looks.get(content)]
        if not rows:
            return None
        kinds = np.zeros((len(contents), len(kind.kinds())), np.float32)
        kinds[:, kind.kinds().index(kind.PHOTO)] = 1
        kinds[rows] = kind.probabilities(features[rows], [self.looks[contents[row]] for row in rows])
        return Meaning(kinds, shown(features, longest))

    def teach(
        self,
        graph: sparse.csr_matrix,
        seen: npt.NDArray[np.float32],
        labels: IntArray,
        contents: Sequence[str],
    ) -> Taught:
        """Return groups after what corrections say and teach, with the keys that they keep.

        Parameters
        ----------
        graph : csr_matrix, shape (n, n)
        seen : ndarray of float32, shape (n, d)
            What corrections teach by.
        labels : ndarray of int64, shape (n,)
        contents : sequence of str
        """
        found = hand_on(labels, contents, self.catalog.last_keys(), self.catalog.first_key())
        taught = teach(graph, seen, found, contents, self.entries)
        state = apply(dict(zip(contents, taught.tolist(), strict=True)), self.entries)
        return Taught(found, taught, state, np.array([state.groups[content] for content in contents], np.int64))

    def keep(
        self, fingerprint: str, contents: Sequence[str], taught: Taught, groups: Sequence[dict[str, Any]]
    ) -> dict[str, int]:
        """Keep the keys of a run's groups in the catalog; return what moved since the run before, see `moved`.

        Each of `groups` that has a ``key`` gets its ``number``: the one it had in earlier runs, else the next. Groups
        that corrections made a part of others are numbered too, because an undo can bring them back.
        """
        earlier = {content: key for content, (_, key) in self.catalog.grouping().items()}
        difference = moved(apply(earlier, self.entries), taught.state) if earlier else {}
        pairs = zip(taught.found.tolist(), taught.taught.tolist(), strict=True)
        self.catalog.add_grouping(fingerprint, dict(zip(contents, pairs, strict=True)))
        keyed = [group for group in groups if "key" in group]
        beside = {*taught.found.tolist(), *taught.taught.tolist()} - {NOWHERE}
        self.catalog.number_groups([*(group["key"] for group in keyed), *sorted(beside, key=abs)])
        numbers = self.catalog.group_numbers()
        for group in keyed:
            group["number"] = numbers[group["key"]]
        return difference


@dataclass(frozen=True)
class Taught:
    """Groups of a run by their keys, `NOWHERE` for none, shape (n,) each.

    Attributes
    ----------
    found : ndarray of int64
        Without corrections.
    taught : ndarray of int64
        After what corrections of other pictures teach.
    state : State
        After all corrections.
    keys : ndarray of int64
        The same, by row.
    """

    found: IntArray
    taught: IntArray
    state: State
    keys: IntArray

    def labels(self) -> tuple[IntArray, IntArray]:
        """Return the groups numbered from 0, -1 for none, and the key of each number."""
        known = np.unique(self.keys[self.keys != NOWHERE])
        return np.where(self.keys == NOWHERE, NOWHERE, np.searchsorted(known, self.keys)), known


def open_library(
    catalog: Catalog,
    source: Source,
    extracted: Extracted,
    *,
    quick: Mapping[str, Facet],
    slow: Mapping[str, Facet],
    progress: Progress = silent,
) -> Library:
    """Note what is there, and read what is not known of it yet.

    Parameters
    ----------
    catalog, source, extracted
        The library, the pictures, and what was read of them.
    quick, slow : mapping of str to Facet
        What is read of pictures, by the names it has in the catalog: the quick ones at once, in the stage "look"; the
        slow ones each in a stage of its own.
    progress : callable
    """
    found = [
        Scanned(item.path, content, item.size, item.mtime_ns, extracted.status(row))
        for row, (item, content) in enumerate(zip(source.items, extracted.ids, strict=True))
    ]
    library = Library(catalog, catalog.scan(source.root, found), Log(catalog).entries())
    if source.kind != "array":
        rows: dict[str, int] = {}
        for row, content in enumerate(extracted.ids):
            if content and extracted.status(row) == "ok":
                rows.setdefault(content, row)
        for stage, facets in (("look", quick), *((name, {name: facet}) for name, facet in slow.items())):
            if facets:
                read_facets(catalog, source, rows, facets, stage=stage, progress=progress)
        facts = catalog.facts("looks") if "looks" in quick else {}
        library.looks = {content: facts[content] for content in rows if facts.get(content)}
    return library
