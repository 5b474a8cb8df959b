"""Grouping quality: selfsort's default against K-means, UMAP + HDBSCAN and EVoC, on the same features in one run.

    SELFSORT_DATA=... python benchmarks/quality.py [--seeds 5] [features] [pixels]

Every method gets the features of the default encoder, once as they are (rows of length 1) and once as selfsort prepares
them. K-means is told the true number of classes; the others find it. Labels are used for scoring alone. Noise (-1) is
scored as one more cluster.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from record import record
from selfsort.evaluation import read_labels
from selfsort.features.graph import shared_neighbor_graph
from selfsort.features.groups import default_n_neighbors, find_groups
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import graph_features, unit_rows
from selfsort.methods.graph import GraphClusterer
from selfsort.metrics import score_all
from selfsort.photos.organize import organize

SETS = {
    "Caltech-101": ("caltech101/caltech101_160.tar", "caltech101/labels.csv"),
    "photo library": ("photos/f1_library.tar", "photos/f1_library_labels.csv"),
}


def selfsort_groups(X: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Prepare, find neighbors, group: everything that `organize` does between features and labels."""
    vectors = graph_features(X)
    neighbors = nearest_neighbors(vectors, default_n_neighbors(len(vectors)))
    return find_groups(shared_neighbor_graph(neighbors.indices), vectors, seed=seed).labels


def kmeans(X: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=10, random_state=seed).fit_predict(X)


def umap_hdbscan(X: np.ndarray, k: int, seed: int) -> np.ndarray:
    import hdbscan
    import umap

    low = umap.UMAP(n_components=5, n_neighbors=15, min_dist=0.0, metric="cosine", random_state=seed).fit_transform(X)
    return hdbscan.HDBSCAN(min_cluster_size=15).fit_predict(low)


def evoc(X: np.ndarray, k: int, seed: int) -> np.ndarray:
    from evoc import EVoC

    return EVoC(random_state=seed).fit_predict(X)


METHODS: dict[str, tuple[Callable[[np.ndarray, int, int], np.ndarray], tuple[str, ...]]] = {
    "selfsort": (selfsort_groups, ("encoder",)),
    "K-means, true k": (kmeans, ("unit", "prepared")),
    "UMAP-5 + HDBSCAN": (umap_hdbscan, ("unit", "prepared")),
    "EVoC": (evoc, ("unit", "prepared")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("parts", nargs="*", default=["features", "pixels"])
    parser.add_argument("--only", default="", help="methods whose name holds this text")
    arguments = parser.parse_args()
    seeds, parts = arguments.seeds, arguments.parts
    data = os.environ.get("SELFSORT_DATA")
    if not data:
        raise SystemExit("Set SELFSORT_DATA to the folder that holds caltech101/ and photos/.")
    warnings.filterwarnings("ignore")
    if "pixels" in parts:
        pixels(Path(data), seeds)
    for name, (archive, labels) in SETS.items() if "features" in parts else ():
        clusters = organize(Path(data) / archive)
        rows, y = read_labels(Path(data) / labels, clusters)
        assert clusters.embedding is not None
        encoder = np.asarray(clusters.embedding[clusters.ok])
        scored = np.searchsorted(np.flatnonzero(clusters.ok), rows)
        features = {"encoder": encoder, "unit": unit_rows(encoder), "prepared": graph_features(encoder)}
        k = len(np.unique(y))
        for method, (run, inputs) in METHODS.items():
            if arguments.only not in method:
                continue
            for which in inputs:
                run(features[which][:300], 10, 0)  # compile and warm up: not timed
                _measure(name, method, which, run, features[which], k, y, scored, seeds)


def pixels(data: Path, seeds: int) -> None:
    """Group the raw pixels of all 70,000 MNIST digits by the graph alone."""
    X = np.concatenate([_idx(data / f"mnist/{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")])
    y = np.concatenate([_idx(data / f"mnist/{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k")])
    X = X.reshape(len(X), -1).astype(np.float32)
    for k in (10, None):
        _measure(
            "MNIST pixels, 70,000",
            f"GraphClusterer(n_clusters={k})",
            "pixels",
            lambda X, k, seed: GraphClusterer(k, random_state=seed).fit_predict(X),
            X,
            k,
            y,
            np.arange(len(X)),
            seeds,
        )


def _idx(path: Path) -> np.ndarray:
    content = gzip.decompress(path.read_bytes())
    n_dims = content[3]
    shape = np.frombuffer(content, ">i4", n_dims, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_dims).reshape(shape)


def _measure(
    name: str, method: str, which: str, run: Any, X: np.ndarray, k: int, y: Any, scored: Any, seeds: int
) -> None:
    scores, seconds = [], []
    for seed in range(seeds):
        start = time.perf_counter()
        labels = np.asarray(run(X, k, seed))
        seconds.append(time.perf_counter() - start)
        scores.append(score_all(y, labels[scored]))
    keys = ("ami", "ari", "nmi", "acc", "acc_many_to_one", "n_clusters", "n_unassigned")
    record(
        "quality",
        data=name,
        method=method,
        features=which,
        protocol=f"{len(y)} labeled of {len(X)} pictures grouped; -1 scored as a cluster; seeds 0-{seeds - 1}",
        **{key: [round(float(f([s[key] for s in scores])), 4) for f in (np.mean, np.std)] for key in keys},
        seconds=[round(float(f(seconds)), 3) for f in (np.mean, np.std)],
    )


if __name__ == "__main__":
    main()
