"""How well scores that need no label rank clusterings, and the number of clusters is found.

    SELFSORT_DATA=... python benchmarks/choosing.py [scores] [k] [only=SET]

scores: on each labeled set, clusterings of many kinds (k-means and the graph with k from a quarter of the number that
the graph finds to four times it, the graph at several granularities, SCAN with five settings) are ranked by each score,
and by their accuracy and AMI; the figure is Spearman's rank correlation.
k: `selfsort.choose_k` beside the number of classes, over seeds.
Labels are seen by these comparisons alone.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from record import record
from selfsort.choosing import SCORES, choose_k, consensus, label_free_scores, neighbor_graph
from selfsort.datasets import load_dataset
from selfsort.features.project import prepare
from selfsort.learn.samples import encode_samples, read_samples
from selfsort.methods.base import Encoded, encode_pictures
from selfsort.methods.graph import GraphClusterer
from selfsort.methods.kmeans import KMeans
from selfsort.methods.scan import SCAN
from selfsort.metrics import score_all
from selfsort.runtime import n_threads

FACTORS = (0.25, 0.35, 0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 3, 4)
N_SEEDS = 5
GRANULARITIES = (0.3, 0.5, 0.7, 1, 1.5, 2)
SCANS: tuple[dict[str, Any], ...] = (
    {"learning_rate": 1e-3, "prior": "equal", "init": "random"},
    {"learning_rate": 1e-3, "prior": "equal"},
    {"learning_rate": 3e-4},
    {"learning_rate": 1e-2, "prior": "equal"},
    {"learning_rate": 1e-2},
)


def libraries() -> Iterator[tuple[str, Path, dict[str, str]]]:
    """Yield name, archive, and the labels of the pictures that are scored, by path."""
    data = Path(os.environ["SELFSORT_DATA"])
    for name, archive, table, column in (
        ("photo library", "photos/f1_library.tar", "photos/f1_library_labels.csv", "file"),
        ("Caltech-101", "caltech101/caltech101_160.tar", "caltech101/labels.csv", "path"),
    ):
        with open(data / table, encoding="utf-8") as file:
            rows = {row[column]: row["label"] for row in csv.DictReader(file) if row.get("eval", "1") == "1"}
        yield name, data / archive, rows


def sets() -> Iterator[tuple[str, Any, np.ndarray, np.ndarray]]:
    """Yield name, input, the vectors that samples are compared by, and labels, empty where a sample is not scored."""
    for name, archive, rows in libraries():
        encoded, paths = encode_pictures(archive)
        labels = np.array([rows.get(path, "") for path in paths])
        yield name, Encoded(encoded, paths), prepare(encoded)(encoded), labels
    digits = load_dataset("digits")
    flat = digits.images.reshape(len(digits.images), -1).astype(np.float32)
    yield "digits, pixels", flat, flat, digits.labels.astype(str)
    for name in ("MNIST", "Fashion-MNIST"):
        test = load_dataset(name.lower(), "test")
        flat = test.images.reshape(len(test.images), -1).astype(np.float32)
        yield f"{name} test, pixels", flat, flat, test.labels.astype(str)
    samples = read_samples("cifar-10", "test")
    encoded = encode_samples(samples)
    yield "CIFAR-10 test", encoded, prepare(encoded.features)(encoded.features), np.asarray(samples.labels)


def clusterings(X: Any) -> Iterator[np.ndarray]:
    """Yield the labels of many clusterings, around the number of clusters that the graph finds."""
    k = GraphClusterer(random_state=0).fit(X).n_clusters_
    for n_clusters in sorted({max(2, round(factor * k)) for factor in FACTORS}):
        for seed in (0, 1):
            yield KMeans(n_clusters, n_init=1, random_state=seed).fit(X).labels_
        yield GraphClusterer(n_clusters, random_state=0).fit(X).labels_
    for granularity in GRANULARITIES:
        yield GraphClusterer(granularity=granularity, random_state=0).fit(X).labels_
    for params in SCANS:
        yield SCAN(k, n_heads=2, n_epochs=4, label_epochs=2, random_state=0, **params).fit(X).labels_


def main(*parts: str) -> None:
    """Record one line per set and part."""
    only = [part.removeprefix("only=") for part in parts if part.startswith("only=")]
    for name, X, vectors, labels in sets():
        if only and not any(name.startswith(part) for part in only):
            continue
        if "scores" in parts:
            scores(name, X, vectors, labels)
        if "k" in parts:
            number(name, vectors, labels)


def number(name: str, vectors: np.ndarray, labels: np.ndarray) -> None:
    """Record the number of clusters that is found."""
    found, seconds = [], []
    for seed in range(N_SEEDS):
        start = time.perf_counter()
        found.append(choose_k(vectors, seed=seed))
        seconds.append(time.perf_counter() - start)
    record(
        "choosing_k",
        data=name,
        protocol=f"{len(vectors):,} samples, seeds 0-{N_SEEDS - 1}, {n_threads()} threads",
        classes=len(set(labels[labels != ""])),
        k=[each.k for each in found],
        interval=[list(each.interval) for each in found],
        stability=[round(float(each.stability.max()), 3) for each in found],
        seconds=round(float(np.mean(seconds)), 1),
    )


def scores(name: str, X: Any, vectors: np.ndarray, labels: np.ndarray) -> None:
    """Record how well scores rank clusterings of one set."""
    scored = labels != ""
    graph = neighbor_graph(vectors)
    candidates = list(clusterings(X))
    rows = [score_all(labels[scored], found[scored]) for found in candidates]
    free = [label_free_scores(vectors, found, graph=graph) for found in candidates]
    values_of = {score: [row[score] for row in free] for score in SCORES} | {"consensus": consensus(candidates)}
    figures = {}
    for score, values in values_of.items():
        best = rows[int(np.argmax(values))]
        figures[score] = {
            **{
                f"rank correlation, {key}": round(float(spearmanr(values, [r[key] for r in rows])[0]), 3)
                for key in ("acc", "ami")
            },
            **{f"chosen, {key}": round(float(best[key]), 3) for key in ("acc", "ami")},
        }
    record(
        "choosing",
        what="scores without labels",
        data=name,
        protocol=f"{len(rows)} clusterings, fitted and scored on the same {int(scored.sum()):,} samples",
        best={key: round(max(float(row[key]) for row in rows), 3) for key in ("acc", "ami")},
        **figures,
    )


if __name__ == "__main__":
    main(*sys.argv[1:] or ("scores", "k"))
