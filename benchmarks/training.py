"""Speed of training: our loop against a plain one, and DEC end to end against ClustPy's.

    SELFSORT_DATA=... python benchmarks/training.py [throughput] [peer]

throughput: images per second of each net. The plain loop is the usual one: float32, a DataLoader that transforms image
by image, Adam; both see the same images, batch size and augmentation.
peer: needs CLUSTPY_PYTHON, the interpreter of an environment with clustpy, torch and a torchvision that matches it.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from record import record
from selfsort.augment import Augment, digits
from selfsort.datasets import load_dataset
from selfsort.methods.ae_kmeans import AEKMeans
from selfsort.methods.dec import DEC
from selfsort.metrics import score_all
from selfsort.nets.autoencoder import conv_autoencoder, dense_autoencoder
from selfsort.runtime import n_threads
from selfsort.training.batches import Batches
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import Session

ROUNDS = 3
BATCH = 256


class OneByOne(Dataset):
    """The images, each transformed when it is asked for."""

    def __init__(self, images: np.ndarray, augmented: bool) -> None:
        self.images, self.augmented = images, augmented

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = torch.from_numpy(self.images[row]).float() / 255
        if not self.augmented:
            return image
        turn, size = math.radians(random.uniform(-10, 10)), random.uniform(0.9, 1.1)
        x, y = random.uniform(-0.2, 0.2), random.uniform(-0.2, 0.2)
        cos, sin = math.cos(turn) / size, math.sin(turn) / size
        matrix = torch.tensor([[[cos, -sin, x], [sin, cos, y]]])
        grid = nn.functional.affine_grid(matrix, [1, *image.shape], align_corners=False)
        return nn.functional.grid_sample(image[None], grid, align_corners=False)[0]


def plain(net: nn.Module, images: np.ndarray, augmented: bool) -> None:
    """One epoch as most would write it."""
    loader = DataLoader(OneByOne(images, augmented), BATCH, shuffle=True, drop_last=True)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for x in loader:
        loss = (net(x)[1] - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class Reconstruction(nn.Module):
    """The objective of both."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the mean squared error."""
        return {"loss": (self.net(x)[1].float() - x).square().mean()}


def ours(net: nn.Module, images: np.ndarray, augmented: bool) -> None:
    """One epoch of the engine."""
    view: Augment = digits() if augmented else Augment()
    batches = Batches(images, BATCH, 0, lambda x, rows: (view(x),))
    train(Session(), "bench", Reconstruction(net), batches, Plan(1, 1e-3))


def throughput() -> None:
    images = load_dataset("mnist", "train").images[:10_000]
    nets: dict[str, Callable[[], nn.Module]] = {
        "dense autoencoder 784-500-500-2000-10": lambda: dense_autoencoder((1, 28, 28)),
        "convolutional autoencoder 32-64-128-10": lambda: conv_autoencoder((1, 28, 28)),
    }
    for name, make in nets.items():
        for augmented in (False, True):
            seconds: dict[str, list[float]] = {"plain": [], "ours": []}
            for loop in (plain, ours):
                loop(make(), images[: 4 * BATCH], augmented)  # warm up
            for _ in range(ROUNDS):
                for label, loop in (("plain", plain), ("ours", ours)):
                    net = make()
                    start = time.perf_counter()
                    loop(net, images, augmented)
                    seconds[label].append(time.perf_counter() - start)
            record(
                "training",
                what="training, images/s",
                net=name,
                data="MNIST, 10,000 images",
                protocol=f"batch {BATCH}, one epoch, {ROUNDS} interleaved rounds, median; {n_threads()} threads; "
                f"{'turned, shifted and scaled' if augmented else 'as they are'}",
                plain=round(len(images) / float(np.median(seconds["plain"]))),
                ours=round(len(images) / float(np.median(seconds["ours"]))),
                ratio=round(float(np.median(np.array(seconds["plain"]) / seconds["ours"])), 2),
                precision=Session().fabric._precision.precision,
            )


PEER = """
import json, sys, time
import torch
library = torch.library.Library("torchvision", "DEF")  # what this build of torchvision lacks and DEC does not use
for name in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"):
    library.define(f"{name}(Tensor x) -> Tensor")
import numpy as np
from clustpy.deep import DEC
X = np.load(sys.argv[1])
epochs, cluster_epochs, seed = map(int, sys.argv[3:6])
start = time.perf_counter()
model = DEC(10, batch_size=256, pretrain_epochs=epochs, clustering_epochs=cluster_epochs, random_state=seed).fit(X)
np.save(sys.argv[2], model.labels_)
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def peer(n: int = 70_000, epochs: int = 10, cluster_epochs: int = 5, n_seeds: int = 2) -> None:
    python = os.environ.get("CLUSTPY_PYTHON")
    if not python:
        raise SystemExit("Set CLUSTPY_PYTHON to the interpreter of an environment with clustpy.")
    data = load_dataset("mnist", "all")
    X, y = data.images[:n].reshape(n, -1).astype(np.float32) / 255, data.labels[:n]
    AEKMeans(10, init="kmeans", n_epochs=1, random_state=0).fit(X[:2000])  # warm up
    steps = cluster_epochs * (n // BATCH)
    rows: dict[str, list[tuple[float, float, float]]] = {"selfsort": [], "ClustPy": []}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", X)
        for seed in range(n_seeds):
            start = time.perf_counter()
            model = DEC(10, init="kmeans", n_epochs=epochs, max_steps=steps, tol=0.0, random_state=seed)
            model.set_params(update_interval=n // BATCH, cluster_optimizer="adam", cluster_learning_rate=1e-4).fit(X)
            rows["selfsort"].append((time.perf_counter() - start, *_scores(y, model.labels_)))
            labels = Path(folder) / "labels.npy"
            command = [python, "-c", PEER, Path(folder) / "X.npy", labels, str(epochs), str(cluster_epochs), str(seed)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds = json.loads(output.splitlines()[-1])["seconds"]
            rows["ClustPy"].append((seconds, *_scores(y, np.load(labels))))
    record(
        "training",
        what="DEC end to end",
        data=f"MNIST, {n:,} images, pooled",
        protocol=f"784-500-500-2000-10, k-means start, batch {BATCH}, {epochs} epochs of the autoencoder and "
        f"{cluster_epochs} of DEC, both with Adam at each library's defaults; seeds 0-{n_seeds - 1}; interleaved",
        **{
            name: {
                key: [round(float(f(values)), 4) for f in (np.mean, np.std)]
                for key, values in zip(("seconds", "acc", "nmi"), zip(*runs, strict=True), strict=True)
            }
            for name, runs in rows.items()
        },
        ratio=round(float(np.mean([b[0] / a[0] for a, b in zip(rows["selfsort"], rows["ClustPy"], strict=True)])), 2),
    )


def _scores(y: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    scores = score_all(y, labels)
    return float(scores["acc"]), float(scores["nmi"])


if __name__ == "__main__":
    for part in sys.argv[1:] or ["throughput", "peer"]:
        {"throughput": throughput, "peer": peer}[part]()
