"""What DeepCluster's layers hold, beside those of the same network untrained and of SimCLR trained for as long.

    SELFSORT_DATA=... python benchmarks/deepcluster.py [EPOCHS] [IMAGES]

Linear classifiers are fitted on what each layer says of training images, pooled by means to about 1,024 values, and
scored on test images. Labels are used for nothing else.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from record import record
from selfsort.datasets import load_dataset
from selfsort.methods.deepcluster import DeepCluster
from selfsort.methods.simclr import SimCLR
from selfsort.metrics import score_all
from selfsort.probes import knn_probe, linear_probe
from selfsort.runtime import n_threads

NET = {"backbone": "vgg-f", "width": 16, "random_state": 0}
N_PROBED = 20_000


def main(n_epochs: int = 20, n: int = 50_000) -> None:
    train, test = load_dataset("cifar-10", "train"), load_dataset("cifar-10", "test")
    images, labels = train.images[:n], train.labels[:n]

    def row(what: str, model: Any, seconds: float, passes: int) -> None:
        fitted, scored = model.layers(images[:N_PROBED]), model.layers(test.images)
        y, wanted = labels[:N_PROBED], test.labels
        record(
            "deepcluster",
            what=what,
            net="VGG-F, width 16",
            data=f"CIFAR-10 (re-encoded as JPEG), {n:,} training images",
            protocol=f"seed 0; linear probes of each layer fitted on {len(y):,} training images, kNN probe (100) of "
            "the features, both scored on the test images; acc: of the 10 clusters of the features, on the test images",
            passes=passes,
            seconds=round(seconds),
            threads=n_threads(),
            layers=[round(linear_probe(a, y, b, wanted)["linear"], 4) for a, b in zip(fitted, scored, strict=True)],
            knn=round(knn_probe(fitted[-1], y, scored[-1], wanted), 4),
            acc=round(float(score_all(wanted, model.predict(test.images))["acc"]), 4),
            agreement=np.round(getattr(model, "agreement_", []), 3).tolist(),
        )

    def timed(model: Any) -> tuple[Any, float]:
        start = time.perf_counter()
        model.fit(images)
        return model, time.perf_counter() - start

    untrained, _ = timed(DeepCluster(10, n_epochs=1, learning_rate=1e-12, **NET))
    row("untrained", untrained, 0, 0)
    for labels_of in ("kmeans", "graph"):
        model, seconds = timed(DeepCluster(10, pseudo_labels=labels_of, n_epochs=n_epochs, **NET))
        row(
            f"DeepCluster, pseudo-labels of {'k-means' if labels_of == 'kmeans' else 'the graph'}",
            model,
            seconds,
            n_epochs,
        )
        if labels_of == "kmeans":
            budget = seconds
    one, _ = timed(SimCLR(10, n_epochs=1, **NET))
    passes = max(1, round(budget / one.history_[-1]["seconds"]))
    model, seconds = timed(SimCLR(10, n_epochs=passes, **NET))
    row("SimCLR", model, seconds, passes)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
