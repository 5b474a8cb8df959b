"""What `organize --learn` gains, and what training the encoder on the same pictures would have.

    SELFSORT_DATA=... python benchmarks/learning.py [layers] [tune] [only=SET]

layers: `organize` with and without `learn`, over seeds, on six labeled sets of pictures.
tune: the photo library at 160 pixels; the built-in encoder is trained on by SimCLR, and by SCAN from the graph's
groups, and the graph of its features before and after is scored.
Labels are seen by the scores alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score
from torch import nn

from choosing import libraries
from record import record
from selfsort import Settings, load_dataset, organize
from selfsort.features.project import graph_features
from selfsort.images import decode
from selfsort.methods.graph import GraphClusterer
from selfsort.methods.scan import SCAN
from selfsort.methods.simclr import SimCLR
from selfsort.methods.trained import Scaling, new_encoder, outputs
from selfsort.pixels import Preprocessing
from selfsort.sources import open_source

N_SEEDS = 5
N_PICTURES = 4_000  # of a set of small images
TRAINED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "SimCLR, 100 steps": {"n_epochs": 2, "learning_rate": 3e-4, "views": "simclr"},
    "SCAN, 50 steps": {"n_epochs": 1, "learning_rate": 1e-4, "pretext_epochs": 0, "label_epochs": 0, "views": "weak"},
}


def sets() -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield name, pictures and labels, empty where a picture is not scored."""
    for name, archive, rows in libraries():
        with open_source(archive) as source:
            yield name, archive, np.array([rows.get(os.fspath(item.path), "") for item in source.items])
    for name, split in (("digits", "all"), ("mnist", "test"), ("fashion-mnist", "test"), ("cifar-10", "test")):
        known = load_dataset(name) if split == "all" else load_dataset(name, split)
        images, labels = known.images[:N_PICTURES], known.labels[:N_PICTURES]
        images = images.transpose(0, 2, 3, 1) if images.shape[1] == 3 else images[:, 0]
        if images.dtype != np.uint8:
            images = np.rint(images * (255 / images.max())).astype(np.uint8)
        yield f"{name}, {len(images):,} images", images, labels.astype(str)


def layers(only: str) -> None:
    """Record the groups with and without learning."""
    for name, pictures, labels in sets():
        if only and not name.lower().startswith(only.lower()):
            continue
        scored = labels != ""
        organize(
            pictures, settings=Settings(looks=False, learn=True)
        )  # encoded once, so that the time is that of what follows
        organize(pictures)
        for learn in (False, True):
            start, found = time.perf_counter(), []
            for seed in range(N_SEEDS):
                clusters = organize(pictures, settings=Settings(looks=False, learn=learn, seed=seed))
                ami = adjusted_mutual_info_score(labels[scored], clusters.labels[scored])
                found.append((ami, clusters.run["n_groups"], clusters.run.get("learned", {}).get("weight", 0)))
            amis, n_groups, weights = zip(*found, strict=True)
            record(
                "learning",
                data=name,
                learn=learn,
                ami=[float(np.mean(amis)), float(np.std(amis))],
                n_groups=list(n_groups),
                weights=list(weights),
                seeds=N_SEEDS,
                seconds=round((time.perf_counter() - start) / N_SEEDS, 1),
            )


def tune() -> None:
    """Record the graph of the encoder's features before and after it was trained on the photo library."""
    name, archive, labels = next(sets())
    with open_source(archive) as source:
        read = [decode(source.read(i), Preprocessing(160, "squash")).pixels for i in range(len(source.items))]
    images, scored = np.stack(read).transpose(0, 3, 1, 2), labels != ""
    common: dict[str, Any] = {"backbone": "efficientnet-lite0", "batch_size": 64, "random_state": 0}
    for what, params in TRAINED.items():
        start = time.perf_counter()
        if params:
            kind = SCAN if what.startswith("SCAN") else SimCLR
            features = kind(**common | params).fit(images).transform(images)
        else:
            encoder, scaling = new_encoder("efficientnet-lite0", images.shape[1:], 32).module, Scaling.of(images)
            features = outputs(nn.Sequential(scaling, encoder.eval()), images, torch.device("cpu"))
        groups = GraphClusterer().fit(graph_features(features)).labels_
        ami = adjusted_mutual_info_score(labels[scored], groups[scored])
        seconds = round(time.perf_counter() - start)
        record(
            "learning_tuned", data=name, encoder=what, ami=float(ami), n_groups=int(groups.max()) + 1, seconds=seconds
        )


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("only=")]
    only = next((word.removeprefix("only=") for word in sys.argv[1:] if word.startswith("only=")), "")
    if not words or "layers" in words:
        layers(only)
    if not words or "tune" in words:
        tune()
