"""Methods on the built-in encoder's features, side by side, with the scores that need no label.

    SELFSORT_DATA=... python benchmarks/frozen.py [cifar] [pictures] [SEEDS]

cifar: fitted on 20,000 training images of CIFAR-10, scored on the test images, over seeds.
pictures: the photo library and Caltech-101, fitted and scored on the same pictures, k found; one seed.
Labels are seen by the scores alone.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from choosing import sets
from record import record
from selfsort.choosing import label_free_scores, neighbor_graph, vote
from selfsort.features.project import prepare
from selfsort.learn.samples import encode_samples, read_samples
from selfsort.methods.graph import GraphClusterer
from selfsort.methods.kmeans import KMeans
from selfsort.methods.scan import SCAN
from selfsort.methods.temi import TEMI
from selfsort.methods.turtle import TURTLE
from selfsort.metrics import score_all
from selfsort.runtime import n_threads

N_FITTED = 20_000
PUBLISHED_SCAN = {"init": "random", "prior": "equal", "n_epochs": 40, "learning_rate": 1e-3, "label_epochs": 0}
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "k-means": (KMeans, {}),
    "graph": (GraphClusterer, {}),
    "SCAN": (SCAN, {}),
    "SCAN, random start, equal sizes": (SCAN, PUBLISHED_SCAN | {"n_heads": 10}),
    "TEMI": (TEMI, {}),
    "TURTLE": (TURTLE, {}),
    "TURTLE, random start, 16 heads": (TURTLE, {"init": "random", "n_heads": 16}),
}
#: Whose heads vote; a method without heads has one.
VOTES: dict[str, tuple[str, ...]] = {
    "vote of the heads of SCAN, random start": ("SCAN, random start, equal sizes",),
    "vote of the heads of TURTLE, random start": ("TURTLE, random start, 16 heads",),
    "vote of all heads of all methods": tuple(METHODS),
}
SCORES = ("acc", "nmi", "ami", "ari")


def cifar(n_seeds: int = 5) -> None:
    """Record each method over seeds, and what a choice without labels would have taken."""
    train, test = read_samples("cifar-10", "train"), read_samples("cifar-10", "test")
    train = replace(train, X=train.X[:N_FITTED])
    fitted, scored = encode_samples(train).features, encode_samples(test).features
    preparation = prepare(fitted)
    X, Z, y = preparation(fitted), preparation(scored), np.asarray(test.labels)
    graph = neighbor_graph(X)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    rows |= {name: [] for name in VOTES}
    for seed in range(n_seeds):
        heads: dict[str, list[np.ndarray]] = {}
        for name, (kind, params) in METHODS.items():
            start = time.perf_counter()
            model = kind(10, random_state=seed, **params).fit(X)
            said = model.labels_, model.predict(Z)
            of_heads = [model.predict_heads(part) for part in (X, Z)] if hasattr(model, "predict_heads") else None
            heads[name] = [np.concatenate(said)] if of_heads is None else list(np.concatenate(of_heads, 1))
            rows[name].append(_scored(y, *said, X, graph) | {"seconds": time.perf_counter() - start})
        for name, voters in VOTES.items():
            start = time.perf_counter()
            found = vote([head for voter in voters for head in heads[voter]])
            seconds = time.perf_counter() - start + sum(rows[voter][seed]["seconds"] for voter in voters)
            rows[name].append(_scored(y, found[: len(X)], found[len(X) :], X, graph) | {"seconds": seconds})
    for name, found in rows.items():
        _record("CIFAR-10", f"fitted on {len(X):,} training images, scored on the test images, k = 10", name, found)
    for score in ("modularity", "learnable"):
        best = [max((rows[name][seed] for name in METHODS), key=lambda row: row[score]) for seed in range(n_seeds)]
        what = f"of each seed the one of the highest {score}"
        _record("CIFAR-10", f"fitted on {len(X):,} training images, scored on the test images, k = 10", what, best)


def _scored(y: np.ndarray, labels: np.ndarray, predicted: np.ndarray, X: np.ndarray, graph: Any) -> dict[str, float]:
    """Return the scores of what was predicted, and those without labels of what it was fitted on."""
    scores = score_all(y, predicted)
    return {key: float(scores[key]) for key in SCORES} | label_free_scores(X, labels, graph=graph)


def pictures() -> None:
    """Record each method on the two sets of pictures, with the number of clusters found."""
    for data, X, vectors, labels in sets():
        if data not in ("photo library", "Caltech-101"):
            continue
        scored, graph = labels != "", neighbor_graph(vectors)
        for name, (kind, params) in METHODS.items():
            if params.get("init") == "random":
                continue  # published for classes of equal size, which these are not
            less = {"n_heads": 2, "n_epochs": 12} if kind is TURTLE and data == "Caltech-101" else {}
            start = time.perf_counter()
            model = kind(random_state=0, **params | less).fit(X)
            seconds = time.perf_counter() - start
            row = {key: float(score_all(labels[scored], model.labels_[scored])[key]) for key in SCORES}
            row |= {"seconds": seconds, "k": float(model.n_clusters_)}
            name += ", 2 heads, 12 epochs" if less else ""
            protocol = f"fitted and scored on the same {int(scored.sum()):,} pictures, k found"
            _record(data, protocol, name, [row | label_free_scores(vectors, model.labels_, graph=graph)])


def _record(data: str, protocol: str, method: str, found: list[dict[str, float]]) -> None:
    record(
        "frozen",
        data=data,
        protocol=f"{protocol}; seeds 0-{len(found) - 1}, {n_threads()} threads",
        method=method,
        **{key: [round(float(f([row[key] for row in found])), 4) for f in (np.mean, np.std)] for key in found[0]},
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    seeds = [int(part) for part in given if part.isdecimal()]
    parts = [part for part in given if not part.isdecimal()] or ["cifar", "pictures"]
    if "cifar" in parts:
        cifar(*seeds)
    if "pictures" in parts:
        pictures()
