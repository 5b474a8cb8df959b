"""Pictures that are the same, at three levels: identical files, one shot resized or encoded anew, and bursts.

What a person said is not the same picture (``not-the-same`` in `selfsort.photos.corrections`) never comes up again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import sparse
from scipy.cluster.hierarchy import DisjointSet

from selfsort.clusters import Clusters
from selfsort.containers.raw import FORMATS as RAW_FORMATS
from selfsort.photos.catalog import Catalog
from selfsort.photos.corrections import Log
from selfsort.photos.metadata import BURST_SECONDS
from selfsort.photos.same_shot import alike_by_hash, is_same_shot
from selfsort.photos.state import apply
from selfsort.photos.trash_log import trashed_rows

LEVELS = ("identical", "same shot", "burst")
#: What must have been read to find those of a level.
NEEDED = {"identical": (), "same shot": ("looks",), "burst": ("looks", "metadata")}
#: Bits of 128 by which two pictures of one shot may differ.
MAX_BITS = 20
#: Pictures with a shorter side in pixels hold too little to tell.
MIN_SIDE = 32
#: By how much the logarithm (base 2) of width over height may differ.
MAX_ASPECT = 0.03
_CHUNK = 100_000
#: The least cosine of the features of two pictures of a burst.
MIN_COSINE = 0.8


@dataclass(frozen=True)
class Same:
    """Pictures that are the same.

    Attributes
    ----------
    level : str
        Of `LEVELS`.
    rows : tuple of int
        Of the run, the one to keep first: that of the most pixels, then the most bytes, then the first path; after all
        that are whole, those whose file ends early.
    """

    level: str
    rows: tuple[int, ...]


def find_same(clusters: Clusters, catalog: Catalog) -> list[Same]:
    """Find pictures that are the same.

    Parameters
    ----------
    clusters : Clusters
        A run of `selfsort.organize`.
    catalog : Catalog
        Its catalog. What was moved to the trash is left out. Without looks (``--no-looks``) no same shots are found,
        without metadata no bursts.

    Returns
    -------
    list of Same
        By level, then by the first row. A picture can be in one of each level; those of a burst are the ones to keep of
        the levels before.
    """
    ids = clusters.items.column("id").to_pylist()
    looks = catalog.facts("looks")
    rank = _rank(clusters, [(looks.get(content) or {}).get("cut", 2.0) for content in ids])
    there = clusters.ok & ~trashed_rows(clusters)
    firsts = np.flatnonzero(there)[np.argsort(rank[there], kind="stable")]
    best: dict[str, int] = {}
    copies: dict[str, list[int]] = {}
    for row in firsts.tolist():
        best.setdefault(ids[row], row)
        copies.setdefault(ids[row], []).append(row)
    found = [Same(LEVELS[0], tuple(rows)) for rows in copies.values() if len(rows) > 1]
    different = apply({}, Log(catalog).entries()).different
    formats = clusters.items.column("format").to_pylist()
    developed = {content: row for content, row in best.items() if formats[row] not in RAW_FORMATS}  # raw is no copy
    near = [pair for pair in _neighboring(clusters, ids) if developed.keys() >= set(pair)]
    pairs = [(best[a], best[b]) for a, b in near]
    same = _same_shot(clusters, ids, looks, pairs, developed.values(), different)
    unlike = {frozenset(best[content] for content in pair) for pair in different if pair <= best.keys()}
    shots, kept = _sets(same, best.values(), rank, len(ids), unlike)
    found += [Same(LEVELS[1], rows) for rows in shots]
    times = {content: facts for content, facts in catalog.facts("metadata").items() if content in developed}
    bursts, _ = _sets(_burst(clusters, ids, times, kept, different), kept, rank, len(ids), unlike)
    found += [Same(LEVELS[2], rows) for rows in bursts]
    return sorted(found, key=lambda one: (LEVELS.index(one.level), one.rows))


def _rank(clusters: Clusters, there: list[float]) -> npt.NDArray[np.int64]:
    """Return the place of each row in the order in which pictures are worth keeping: first those that are whole."""
    columns = ("width", "height", "size")
    width, height, size = (clusters.items.column(name).to_numpy().astype(np.int64) for name in columns)
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((np.arange(len(size)), -size, -width * height, -np.array(there)))] = np.arange(len(size))
    return rank


def _neighboring(clusters: Clusters, ids: list[str]) -> set[tuple[str, str]]:
    """Return pairs of contents of which one is among the neighbors of the other."""
    rows, columns = np.nonzero(clusters.neighbors >= 0)
    others = clusters.neighbors[rows, columns]
    return {
        (min(ids[a], ids[b]), max(ids[a], ids[b]))
        for a, b in zip(rows.tolist(), others.tolist(), strict=True)
        if ids[a] != ids[b]
    }


def _same_shot(
    clusters: Clusters,
    ids: list[str],
    looks: Mapping[str, Any],
    pairs: list[tuple[int, int]],
    rows: Iterable[int],
    different: set[frozenset[str]],
) -> list[tuple[int, int]]:
    """Return pairs of rows of one shot, of those given and of those with hashes alike: enough to connect each set."""
    shorter = np.minimum(clusters.items.column("width").to_numpy(), clusters.items.column("height").to_numpy())
    told = np.array(sorted(row for row in rows if looks.get(ids[row]) and shorter[row] >= MIN_SIDE), np.int64)
    if not len(told):
        return []
    known = [looks[ids[row]] for row in told.tolist()]
    bits = np.unpackbits(np.array([list(bytes.fromhex(look["hash"])) for look in known], np.uint8), axis=1)
    aspect, commonest = (np.array([look[name] for look in known]) for name in ("aspect", "commonest"))
    place = {row: i for i, row in enumerate(told.tolist())}
    given = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    a, b = np.concatenate(
        [np.array(given, np.int64).reshape(-1, 2).T, *(np.stack(of) for of in alike_by_hash(bits))], 1
    )
    a, b = np.unique(np.sort(np.stack([a, b]), axis=0), axis=1)
    close = np.abs(aspect[a] - aspect[b]) <= MAX_ASPECT
    for start in range(0, len(a), _CHUNK):
        part = slice(start, start + _CHUNK)
        close[part] &= (bits[a[part]] != bits[b[part]]).sum(1) <= MAX_BITS

    @lru_cache(maxsize=4096)
    def shown(row: int) -> npt.NDArray[np.float32] | None:
        thumbnail = clusters.thumbnail(row)
        return None if thumbnail is None else np.asarray(Image.open(io.BytesIO(thumbnail)).convert("L"), np.float32)

    same, joined = [], DisjointSet(told.tolist())
    plain = np.maximum(commonest[a], commonest[b])[close]
    for first, second, share in zip(told[a[close]].tolist(), told[b[close]].tolist(), plain.tolist(), strict=True):
        if joined.connected(first, second) or frozenset((ids[first], ids[second])) in different:
            continue
        one, other = shown(first), shown(second)
        if one is not None and other is not None and one.shape == other.shape and is_same_shot(one, other, share):
            same.append((first, second))
            joined.merge(first, second)
    return same


def _burst(
    clusters: Clusters,
    ids: list[str],
    times: Mapping[str, Any],
    rows: Iterable[int],
    different: set[frozenset[str]],
) -> list[tuple[int, int]]:
    """Return pairs of pictures that one camera took within `BURST_SECONDS` and that look alike."""
    if clusters.embedding is None:
        return []
    taken: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for row in rows:
        facts = times.get(ids[row]) or {}
        if "date" in facts and facts.get("date_precision", "second") == "second":
            camera = str(facts.get("make", "")), str(facts.get("model", ""))
            moment = datetime.fromisoformat(facts["date"]).replace(tzinfo=None) - datetime(1800, 1, 1)
            taken.setdefault(camera, []).append((moment.total_seconds(), row))
    pairs = []
    for moments in taken.values():
        moments.sort()
        for (before, a), (after, b) in pairwise(moments):
            if after - before <= BURST_SECONDS and frozenset((ids[a], ids[b])) not in different:
                one, other = (np.sqrt(np.maximum(clusters.embedding[row].astype(np.float32), 0)) for row in (a, b))
                norms = max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-9)
                if float(one @ other) / norms >= MIN_COSINE:
                    pairs.append((a, b))
    return pairs


def _sets(
    pairs: list[tuple[int, int]],
    rows: Iterable[int],
    rank: npt.NDArray[np.int64],
    n: int,
    unlike: set[frozenset[int]],
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return the sets that pairs connect, the best of each first, and the best of every set and single row.

    Where a set would hold two that are `unlike`, the worse of them begins another.
    """
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    members: dict[int, list[list[int]]] = {}
    for row in sorted(rows, key=lambda row: int(rank[row])):
        parts = members.setdefault(int(component[row]), [])
        fitting = (part for part in parts if not any(frozenset((row, other)) in unlike for other in part))
        home = next(fitting, None)
        if home is None:
            parts.append([row])
        else:
            home.append(row)
    found = [part for parts in members.values() for part in parts]
    return [tuple(part) for part in found if len(part) > 1], [part[0] for part in found]


def described(clusters: Clusters, same: Same) -> list[dict[str, Any]]:
    """Return path, size in bytes, and width and height in pixels of each picture of a set."""
    items = clusters.items
    return [
        {
            "path": os.fsdecode(items.column("path_bytes")[row].as_py()),
            **{name: items.column(name)[row].as_py() for name in ("size", "width", "height")},
        }
        for row in same.rows
    ]
