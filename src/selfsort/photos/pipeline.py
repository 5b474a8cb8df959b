"""The stages between features and result: neighbors, groups, map."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort import __version__
from selfsort.clusters import Clusters, items_table
from selfsort.features.encoders import Encoder
from selfsort.features.extract import Extracted
from selfsort.features.graph import by_size, merge_order, modularity, shared_neighbor_graph
from selfsort.features.groups import Grouping, default_n_neighbors, describe_groups, find_groups, nest
from selfsort.features.layers import WEIGHTS, margin, prepare_layers
from selfsort.features.layout import layout
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import graph_features, unit_rows
from selfsort.files import read_sealed, write_sealed
from selfsort.metrics import cluster_usage, is_collapsed
from selfsort.nets.lite0 import LAYERS
from selfsort.photos import kind
from selfsort.photos.library import Library, Taught
from selfsort.photos.meaning import Meaning
from selfsort.photos.seen import is_built_in
from selfsort.photos.settings import FACETS, Settings
from selfsort.run_folder import SCHEMA_VERSION
from selfsort.runtime import Clock, Progress, counted, n_threads
from selfsort.sources import Source

#: Raise when the same features would give other groups, or other weights are tried: runs are then made anew.
_STAGES_VERSION = 10
#: So many neighbors are kept for those who read the run; the graph uses the nearest of them.
_N_STORED = 20
_PACKAGES = ("numpy", "faiss-cpu", "onnxruntime", "pillow", "scikit-network")


class _Grouped(NamedTuple):
    vectors: npt.NDArray[np.float32]
    neighbors: npt.NDArray[np.int32]
    recall: float
    graph: sparse.csr_matrix
    grouping: Grouping
    options: dict[str, Any]


def _same(labels: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> bool:
    """Tell whether two divisions into groups are the same, however the groups are numbered."""
    return bool(np.array_equal(by_size(labels), by_size(others)))


def _modularity(grouped: _Grouped) -> float:
    """Return the modularity of the groups; a picture that belongs nowhere is a group of its own."""
    labels = grouped.grouping.labels.copy()
    nowhere = np.flatnonzero(labels < 0)
    labels[nowhere] = labels.max(initial=-1) + 1 + np.arange(len(nowhere))
    return modularity(grouped.graph, labels)


class Pipeline:
    """From the features of one source to `Clusters`.

    Pictures with equal bytes are one node of the graph and share their group.

    Parameters
    ----------
    source, extracted, encoder, settings
        What was found, what was read, by which encoder, and what steers the rest.
    library : Library
        What is known of the pictures beside their content, and what people said of them.
    salt : str
        Anything else the result depends on.
    """

    def __init__(
        self,
        source: Source,
        extracted: Extracted,
        encoder: Encoder,
        settings: Settings,
        library: Library,
        salt: str = "",
    ) -> None:
        self.source, self.extracted, self.encoder, self.settings = source, extracted, encoder, settings
        self.library, self._salt = library, salt + library.digest
        self.kinds: npt.NDArray[np.int64] | None = None
        self.taught: Taught | None = None
        self.recall = 1.0
        self.learned: dict[str, Any] | None = None
        self.status = [extracted.status(i) for i in range(len(source.items))]
        self.warnings = list(source.warnings)
        n_cut = sum("cut" in look for look in library.looks.values())
        if n_cut:
            files = "file ends" if n_cut == 1 else "files end"
            self.warnings.append(
                f"{counted(n_cut, 'picture')} cut short: the {files} early. What is there is shown; selfsort flaws "
                "lists them."
            )
        #: node of each row, -1 where it could not be read; and the first row of each node
        self.nodes = np.full(len(self.status), -1, np.int64)
        first_rows: dict[str, int] = {}
        for row, (content, status) in enumerate(zip(extracted.ids, self.status, strict=True)):
            if status == "ok":
                first_rows.setdefault(content, row)
        node_of = {content: node for node, content in enumerate(first_rows)}
        for row, (content, status) in enumerate(zip(extracted.ids, self.status, strict=True)):
            if status == "ok":
                self.nodes[row] = node_of[content]
        self.contents = list(first_rows)
        self.first_rows = np.array(list(first_rows.values()), np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything the result depends on."""
        import xxhash

        idle = {*FACETS} - {"looks"}
        steering = {name: value for name, value in self.settings.params().items() if name not in idle}
        facts = [_STAGES_VERSION, self.encoder.key, steering, self.source.root, self._salt]
        digest = xxhash.xxh3_128(repr(facts).encode("utf-8", "surrogateescape"))
        for item, content, status in zip(self.source.items, self.extracted.ids, self.status, strict=True):
            digest.update(f"{item.path}\0{content}\0{status}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def run(self, work: Path | None, clock: Clock, progress: Progress) -> Clusters:
        """Compute the stages; with a folder `work`, those that a killed run finished are taken from it."""

        def kept(name: str, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
            path = work / f"{name}-{self.fingerprint}.npy" if work is not None else None
            if path is not None and path.exists():
                with contextlib.suppress(ValueError):  # damaged: computed again
                    kept_value: npt.NDArray[Any] = np.load(io.BytesIO(read_sealed(path)), allow_pickle=False)
                    return kept_value
            value = compute()
            if path is not None:
                content = io.BytesIO()
                np.save(content, value, allow_pickle=False)
                write_sealed(path, content.getbuffer())
            return value

        def stage(name: str, variant: str, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
            def announced() -> npt.NDArray[Any]:
                progress(name, 0, None)
                return compute()

            value = kept(name + variant, announced)
            clock(name)
            return value

        n, s = len(self.contents), self.settings
        entries = self.extracted.entries
        features = np.array([entries[content].features for content in self.contents], np.float16)
        copies = np.bincount(self.nodes[self.nodes >= 0], minlength=n)

        def group(vectors: npt.NDArray[np.float32], name: str = "") -> _Grouped:
            k = min(s.n_neighbors or default_n_neighbors(n), n - 1)
            recall = [np.nan]  # not known if a run was killed just before it was kept
            neighbors = stage(
                "neighbors", name, lambda: self._neighbors(vectors, max(k, min(_N_STORED, n - 1)), recall, progress)
            )
            known = float(kept("recall" + name, lambda: np.array(recall[0])))
            graph = shared_neighbor_graph(neighbors[:, :k])
            kinds = None
            if meaning is not None:
                graph, kinds = meaning.settle(graph)
            options: dict[str, Any] = {"granularity": s.granularity, "kinds": kinds, "seed": s.seed}

            def find() -> npt.NDArray[np.int64]:
                return find_groups(graph, vectors, n_groups=s.groups, **options).levels

            levels = stage("groups", name, find)
            return _Grouped(vectors, neighbors, known, graph, Grouping(levels, levels.shape[1] - 2), options)

        meaning = self._meaning(features)
        found = self._learn(features, group) if s.learn else group(graph_features(features))
        vectors, neighbors, self.recall, graph, grouping, options = found
        self.kinds = options["kinds"]
        seen = unit_rows(vectors) if meaning is None else meaning.beside(vectors)
        self.taught = self.library.teach(graph, seen, grouping.labels, self.contents)
        labels, _ = self.taught.labels()
        if not _same(labels, grouping.labels):
            grouping = nest(graph, labels, **options)
        grouping = Grouping(np.column_stack([by_size(level, copies) for level in grouping.levels.T]), grouping.default)
        start = vectors[:, :2] if vectors.shape[1] > 1 else np.repeat(vectors, 2, axis=1)
        position = stage("map", "", lambda: layout(graph, start, seed=s.seed, progress=progress))
        groups, confidence = describe_groups(grouping, graph, vectors)
        merges = merge_order(graph, grouping.levels[:, -1], grouping.labels)
        return self._assemble(features, neighbors, grouping, groups, confidence, position, merges, clock)

    def _meaning(self, features: npt.NDArray[np.float16]) -> Meaning | None:
        """Return what the pictures are and show; None without facets, or with another encoder."""
        if not is_built_in(self.encoder.name):
            return None
        found = [self.extracted.entries[content] for content in self.contents]
        longest = np.array([max(entry.width, entry.height) for entry in found], np.int64)
        return self.library.meaning(self.contents, features, longest)

    def _learn(
        self, features: npt.NDArray[np.float16], group: Callable[[npt.NDArray[np.float32], str], _Grouped]
    ) -> _Grouped:
        """Group by the last layer alone, and by it and the earlier one; return what has the most modularity."""
        layers = prepare_layers(features)
        best, best_weight = group(layers(features), f"-{WEIGHTS[0]}"), WEIGHTS[0]
        found = {best_weight: _modularity(best)}
        least = found[best_weight] + margin(len(features))
        for weight in WEIGHTS[1:]:
            grouped = group(layers._replace(weight=weight)(features), f"-{weight}")
            found[weight] = _modularity(grouped)
            if found[weight] > least:
                best, best_weight, least = grouped, weight, found[weight]
            del grouped
        self.learned = {
            "weight": best_weight,
            "modularity": {str(weight): value for weight, value in found.items()},
            "lengths": list(LAYERS),
        }
        return best

    def _neighbors(
        self, vectors: npt.NDArray[np.float32], k: int, recall: list[float], progress: Progress
    ) -> npt.NDArray[np.int32]:
        if k == 0:
            recall[0] = 1.0
            return np.zeros((len(vectors), 0), np.int32)
        found = nearest_neighbors(vectors, k, seed=self.settings.seed, progress=progress)
        recall[0] = found.recall
        return found.indices

    def _assemble(
        self,
        features: npt.NDArray[np.float16],
        neighbors: npt.NDArray[np.int32],
        grouping: Grouping,
        groups: list[dict[str, Any]],
        confidence: npt.NDArray[Any],
        position: npt.NDArray[Any],
        merges: npt.NDArray[Any],
        clock: Clock,
    ) -> Clusters:
        """Spread the nodes' results over the rows: copies get what their content got, the unreadable get nothing."""
        rows = np.flatnonzero(self.nodes >= 0)
        nodes = self.nodes[rows]

        def spread(values: npt.NDArray[Any], missing: float, dtype: Any) -> npt.NDArray[Any]:
            full = np.full((len(self.nodes), *values.shape[1:]), missing, dtype)
            full[rows] = values[nodes]
            return full

        sizes = [np.bincount(level[nodes][level[nodes] >= 0]) for level in grouping.levels.T]
        self._name(groups, grouping)
        for group in groups:
            group["size"] = int(sizes[group["level"]][group["group"]])
            group["prototypes"] = self.first_rows[group["prototypes"]].tolist()
            group["odd"] = self.first_rows[group["odd"]].tolist()
        self._warn_of_collapse(sizes[grouping.default])
        thumbnails = [self.extracted.entries[content].thumbnail for content in self.contents]
        return Clusters(
            run=self._facts(grouping, groups, clock),
            items=items_table(self.extracted.rows(self.source.items)),
            levels=spread(grouping.levels, -1, np.int32),
            confidence=spread(confidence, 0, np.float32),
            neighbors=spread(self.first_rows[neighbors], -1, np.int32),
            groups=groups,
            map=spread(position, np.nan, np.float32),
            embedding=spread(features, 0, np.float16),
            thumbnails=[thumbnails[node] if node >= 0 else None for node in self.nodes],
            merges=merges.astype(np.int32),
        )

    def _name(self, groups: list[dict[str, Any]], grouping: Grouping) -> None:
        """Give groups their keys and the names that people gave them, and kinds theirs; while rows are nodes."""
        of_kinds = self.kinds is not None and grouping.default == 1
        for group in groups:
            members = np.flatnonzero(grouping.levels[:, group["level"]] == group["group"])
            if self.kinds is not None and of_kinds and group["level"] == 0:
                group["kind"] = kind.kinds()[int(np.bincount(self.kinds[members]).argmax())]
            if group["level"] == grouping.default and self.taught is not None:
                group["key"] = int(self.taught.keys[members[0]])
                if group["key"] in self.taught.state.names:
                    group["name"] = self.taught.state.names[group["key"]]

    def _warn_of_collapse(self, sizes: npt.NDArray[np.int64]) -> None:
        if sizes.sum() < 20 or self.settings.groups == 1:
            return
        usage = cluster_usage(np.repeat(np.arange(len(sizes)), sizes), len(sizes))
        if is_collapsed(usage):
            self.warnings.append(
                f"The largest of {counted(len(sizes), 'group')} holds {usage['largest_share']:.0%} of the pictures. "
                "They may really be alike; for a finer view raise the granularity (--granularity 3) or give a "
                "number of groups (--groups)."
            )

    def _facts(self, grouping: Grouping, groups: list[dict[str, Any]], clock: Clock) -> dict[str, Any]:
        labels = grouping.labels
        kinds: Counter[str] = Counter()
        for group in groups:
            kinds.update({group["kind"]: group["size"]} if "kind" in group else {})
        return {
            "schema": SCHEMA_VERSION,
            "selfsort": __version__,
            "method": "graph",
            "params": self.settings.params(),
            "seed": self.settings.seed,
            "level": grouping.default,
            "root": self.source.root,
            "source": self.source.kind,
            "encoder": self.encoder.describe(),
            "n_items": len(self.status),
            "n_ok": self.status.count("ok"),
            "n_distinct": len(self.contents),
            "n_encoded": self.extracted.n_encoded,
            "n_groups": int(labels.max(initial=-1)) + 1,
            **({"learned": self.learned} if self.learned else {}),
            **({"kinds": dict(kinds)} if kinds else {}),
            "n_corrections": sum(not entry.undone for entry in self.library.entries),
            "changes": self.library.changes.counts(),
            "n_nowhere": int((labels[self.nodes[self.nodes >= 0]] < 0).sum()),
            "neighbor_recall": None if np.isnan(self.recall) else self.recall,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": clock.seconds,
            "n_threads": n_threads(),
            "warnings": self.warnings,
            "versions": {package: metadata.version(package) for package in _PACKAGES},
            "fingerprint": self.fingerprint,
        }
