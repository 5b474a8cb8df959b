"""Speed of training: our loop against a plain one, and DEC end to end against ClustPy's.

    SELFSORT_DATA=... python benchmarks/training.py [throughput] [compiled] [pairs] [peer]

throughput: images per second of each net. The plain loop is the usual one: float32, a DataLoader that transforms image
by image, Adam; both see the same images, batch size and augmentation.
compiled: the same steps with and without ``torch.compile``, and what compiling takes.
pairs: the same for IIC, whose steps see two views of each image; and how near they come to the network's own speed.
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
from selfsort.methods.iic import _Information
from selfsort.methods.pairs import Pairs
from selfsort.methods.trained import Scaling
from selfsort.metrics import score_all
from selfsort.nets.autoencoder import conv_autoencoder, dense_autoencoder
from selfsort.nets.backbones import make_backbone
from selfsort.nets.heads import Heads
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


NETS: dict[str, Callable[[], nn.Module]] = {
    "dense autoencoder 784-500-500-2000-10": lambda: dense_autoencoder((1, 28, 28)),
    "convolutional autoencoder 16-32-64-128-10": lambda: conv_autoencoder((1, 28, 28)),
}


def throughput() -> None:
    images = load_dataset("mnist", "train").images[:10_000]
    for name, make in NETS.items():
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


def compiled() -> None:
    images = load_dataset("mnist", "train").images[:10_000]
    for name, make in NETS.items():
        found: dict[bool, list[float]] = {}
        for compile_it in (False, True):
            session = Session()
            batches = Batches(images, BATCH, 0, lambda x, rows: (x.float() / 255,))
            train(session, "bench", Reconstruction(make()), batches, Plan(1 + ROUNDS, 1e-3, compile=compile_it))
            found[compile_it] = [row["seconds"] for row in session.history]
        before, after = (float(np.median(seconds[1:])) for seconds in found.values())
        record(
            "training",
            what="training with torch.compile, images/s",
            net=name,
            data="MNIST, 10,000 images",
            protocol=f"batch {BATCH}, median of {ROUNDS} epochs after the first; {n_threads()} threads",
            uncompiled=round(len(images) / before),
            compiled=round(len(images) / after),
            ratio=round(before / after, 2),
            compiling_seconds=round(found[True][0] - after, 1),
            precision=Session().fabric._precision.precision,
        )


class Twice(Dataset):
    """Each image and a view of it, made when it is asked for: what `selfsort.augment.strokes` does, one by one."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.from_numpy(self.images[row]).float() / 255
        return image, self._view(image)

    def _view(self, image: torch.Tensor) -> torch.Tensor:
        turn, size = math.radians(random.uniform(-25, 25)), random.uniform(0.8, 1.2)
        shear, stretch = random.uniform(-0.35, 0.35), math.exp(random.uniform(-0.18, 0.18))
        cos, sin = math.cos(turn), math.sin(turn)
        x, y = random.uniform(-0.2, 0.2), random.uniform(-0.2, 0.2)
        rows = [[(cos - shear * sin) / size / stretch, (-sin - shear * cos) / size / stretch, x]]
        rows.append([sin * stretch / size, cos * stretch / size, y])
        grid = nn.functional.affine_grid(torch.tensor([rows]), [1, *image.shape], align_corners=False)
        view = nn.functional.grid_sample(image[None], grid, align_corners=False)
        thicker = random.choice((-1, 0, 1))
        if thicker:
            changed = thicker * nn.functional.max_pool2d(thicker * view, 3, 1, 1)
            view = torch.lerp(view, changed, random.random())
        return view[0]


def pairs(n: int = 8192, batch: int = 512, width: int = 64) -> None:
    images = load_dataset("mnist", "train").images[:n]

    def make() -> nn.Module:
        encoder, n_features = make_backbone("vgg-f", (1, 28, 28), width)
        return _Information(Scaling.of(images), encoder, Heads(n_features, 5, 10), Heads(n_features, 5, 50), n)

    def plain() -> None:
        net, rows = make(), torch.arange(batch)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        for first, second in DataLoader(Twice(images), batch, shuffle=True, drop_last=True):
            optimizer.zero_grad()
            net(first, second, rows)["loss"].backward()
            optimizer.step()

    def engine() -> None:
        net = make()
        views = Pairs("strokes", images, net.scaling, Session())
        train(
            Session(), "bench", net, Batches(images, batch, 0, lambda x, rows: (*views(x, rows), rows)), Plan(1, 1e-3)
        )

    def bare() -> None:
        """Forward and backward pass of the network alone, on one batch that is there already."""
        net = make().to(memory_format=torch.channels_last)
        x = torch.rand(2 * batch, 1, 28, 28).contiguous(memory_format=torch.channels_last)
        for _ in range(n // batch):
            with torch.autocast("cpu", torch.bfloat16):
                loss = net.encoder(x).square().mean()
            loss.backward()

    seconds: dict[str, list[float]] = {"plain": [], "bare": [], "ours": []}
    for _ in range(ROUNDS):
        for label, loop in (("plain", plain), ("bare", bare), ("ours", engine)):
            start = time.perf_counter()
            loop()
            seconds[label].append(time.perf_counter() - start)
    record(
        "training",
        what="IIC, pairs/s",
        net=f"VGG-F, width {width}, 5 heads and 5 fine heads",
        data=f"MNIST, {n:,} images",
        protocol=f"batch {batch} pairs, one epoch, {ROUNDS} interleaved rounds, median; {n_threads()} threads; bare: "
        "forward and backward pass of the network in bf16, channels last, on one batch",
        **{label: round(n / float(np.median(values))) for label, values in seconds.items()},
        ratio=round(float(np.median(np.array(seconds["plain"]) / seconds["ours"])), 2),
        of_bare=round(float(np.median(np.array(seconds["bare"]) / seconds["ours"])), 2),
        precision=Session().fabric._precision.precision,
    )


PEER = """
import json, sys, time
import torch
library = torch.library.Library("torchvision", "DEF")  # what this build of torchvision lacks and DEC does not use
lacking = "nms qnms roi_align qroi_align roi_pool ps_roi_align ps_roi_pool deform_conv2d box_iou_rotated"
lacking += "".join(f" _{name}_backward" for name in lacking.split())
for name in lacking.split():
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


def peer(n: int = 70_000, epochs: int = 5, cluster_epochs: int = 3, n_seeds: int = 2) -> None:
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
        f"{cluster_epochs} of DEC, both with Adam, 1e-3 and 1e-4; else each library's defaults; "
        f"seeds 0-{n_seeds - 1}; interleaved",
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
    parts = {"throughput": throughput, "compiled": compiled, "pairs": pairs, "peer": peer}
    for part in sys.argv[1:] or parts:
        parts[part]()
