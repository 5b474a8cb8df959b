"""SimCLR's steps against a plain loop, and whether SCAN ever collapses.

    SELFSORT_DATA=... python benchmarks/pretext.py [steps] [collapse]

steps: images per second of ResNet-18 on 32 x 32 pixels. The plain loop is the usual one: float32, a DataLoader that
makes both views of each image by PIL, SGD; bare is the network's forward and backward pass alone, in bf16 and channels
last, on views that are there already.
collapse: SCAN over 20 seeds, on features of the built-in encoder and from pixels.
"""

from __future__ import annotations

import random
import sys
import time
import warnings

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from record import record
from selfsort.augment import simclr
from selfsort.datasets import load_dataset
from selfsort.errors import CollapseWarning
from selfsort.learn.samples import encode_samples, read_samples
from selfsort.losses.contrastive import nt_xent
from selfsort.methods.base import Encoded
from selfsort.methods.pairs import Pairs
from selfsort.methods.pretext import Contrast, contrast_plan, make_projector
from selfsort.methods.scan import SCAN
from selfsort.methods.trained import Scaling
from selfsort.metrics import score_all
from selfsort.nets.backbones import make_backbone
from selfsort.runtime import n_threads
from selfsort.training.loop import train
from selfsort.training.session import Session

ROUNDS = 3
N_SEEDS = 20


class TwoViews(Dataset):
    """Two views of each image by PIL, as SimCLR's usual code makes them."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images.transpose(0, 2, 3, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.fromarray(self.images[row])
        return self._view(image), self._view(image)

    def _view(self, image: Image.Image) -> torch.Tensor:
        area = image.width * image.height
        side = round((area * random.uniform(0.2, 1.0)) ** 0.5)
        left, top = random.randint(0, image.width - side), random.randint(0, image.height - side)
        image = image.crop((left, top, left + side, top + side)).resize(image.size, Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < 0.8:
            for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                image = kind(image).enhance(random.uniform(0.6, 1.4))
            hue, saturation, value = image.convert("HSV").split()
            turn = round(255 * random.uniform(-0.1, 0.1))
            turned = Image.fromarray((np.asarray(hue, np.int16) + turn).astype(np.uint8))  # around the circle
            image = Image.merge("HSV", (turned, saturation, value)).convert("RGB")
        if random.random() < 0.2:
            image = image.convert("L").convert("RGB")
        return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy()).float() / 255


def steps(n: int = 1024, batch: int = 128, width: int = 64) -> None:
    images = load_dataset("cifar-10", "train").images[:n]
    shape, device = images.shape[1:], Session().fabric.device

    def make() -> Contrast:
        encoder, n_features = make_backbone("resnet18", shape, width)
        return Contrast(Scaling.of(images), encoder, make_projector(n_features), 0.1).to(device)

    def plain() -> None:
        net = make()
        optimizer = torch.optim.SGD(net.parameters(), 0.4, momentum=0.9, weight_decay=1e-4)
        for first, second in DataLoader(TwoViews(images), batch, shuffle=True, drop_last=True):
            optimizer.zero_grad()
            projected = net.projector(net.encoder(torch.cat([first, second]).to(device)))
            nt_xent(*projected.chunk(2), 0.1)["loss"].backward()
            optimizer.step()

    def engine() -> None:
        net, session = make(), Session()
        views = Pairs("simclr", images, net.scaling, session, both_changed=True)
        train(session, "bench", net, session.batches(images, batch, views), contrast_plan("sgd", 0.4, 1))

    def bare() -> None:
        net: nn.Module = make().encoder.to(memory_format=torch.channels_last)
        x = torch.rand(2 * batch, *shape, device=device).contiguous(memory_format=torch.channels_last)
        for _ in range(n // batch):
            with torch.autocast(device.type, torch.bfloat16):
                loss = net(x).square().mean()
            loss.backward()

    def views_alone() -> None:
        view, x = simclr(shape[1:]), torch.rand(2 * batch, *shape, device=device)
        for _ in range(n // batch):
            view(x)

    loops = {"plain": plain, "bare": bare, "ours": engine, "views": views_alone}
    seconds: dict[str, list[float]] = {label: [] for label in loops}
    for _ in range(ROUNDS):
        for label, loop in loops.items():
            start = time.perf_counter()
            loop()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[label].append(time.perf_counter() - start)
    views_share = float(np.median(np.array(seconds.pop("views")) / seconds["ours"]))
    with FlopCounterMode(display=False) as counter:
        make().encoder(torch.rand(2, *shape, device=device)).sum().backward()
    flops = counter.get_total_flops() * n / float(np.median(seconds["ours"]))
    record(
        "training",
        what="SimCLR, images/s",
        net=f"ResNet-18, width {width}",
        data=f"CIFAR-10, {n:,} images",
        protocol=f"batch {batch}, two views of each image, one epoch, {ROUNDS} interleaved rounds, median; "
        f"{n_threads()} threads; bare: forward and backward pass of the network in bf16, channels last, on one batch",
        **{label: round(n / float(np.median(values)), 1) for label, values in seconds.items()},
        ratio=round(float(np.median(np.array(seconds["plain"]) / seconds["ours"])), 2),
        of_bare=round(float(np.median(np.array(seconds["bare"]) / seconds["ours"])), 2),
        views_share=round(views_share, 3),
        teraflops=round(flops / 1e12, 3),
        precision=Session().fabric._precision.precision,
    )


def collapse() -> None:
    samples = read_samples("cifar-10", "test")
    _, labels = np.unique(samples.labels, return_inverse=True)
    encoded = encode_samples(samples)
    small = {"width": 8, "pretext_epochs": 2, "n_epochs": 3, "label_epochs": 1, "batch_size": 250}
    published = {"init": "random", "prior": "equal", "sure_share": 0.0, "label_entropy_weight": 0.0}
    features = "features of the built-in encoder, CIFAR-10 test, 10,000 images"
    pixels = "pixels, CIFAR-10 test, 5,000 images"
    _seeds(features, "as it is", encoded, labels, {})
    _seeds(features, "as published", encoded, labels, published)
    _seeds(pixels, "as it is", samples.values[:5000], labels[:5000], small)
    _seeds(pixels, "as published", samples.values[:5000], labels[:5000], small | published)


def _seeds(name: str, kind: str, X: np.ndarray | Encoded, y: np.ndarray, params: dict) -> None:
    scores, used, alarms, seconds = [], [], 0, []
    for seed in range(N_SEEDS):
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = SCAN(10, random_state=seed, **params).fit(X)
        alarms += any(issubclass(warning.category, CollapseWarning) for warning in caught)
        seconds.append(time.perf_counter() - start)
        scores.append(score_all(y, model.labels_))
        used.append(len(set(model.labels_)))
        print(seed, used[-1], round(scores[-1]["acc"], 3), flush=True)
    record(
        "collapse",
        what=f"SCAN, {kind}",
        data=name,
        protocol=f"k = 10; fitted and scored on the same images; seeds 0 to {N_SEEDS - 1}; {n_threads()} threads",
        params=params,
        n_collapsed=int(sum(score["largest_share"] > 0.8 or n < 10 for score, n in zip(scores, used, strict=True))),
        n_alarms=alarms,
        fewest_clusters_used=min(used),
        largest_share=round(max(float(score["largest_share"]) for score in scores), 3),
        **{
            key: [round(float(f([score[key] for score in scores])), 4) for f in (np.mean, np.std)]
            for key in ("acc", "nmi")
        },
        seconds=round(float(np.mean(seconds)), 1),
    )


if __name__ == "__main__":
    parts = {"steps": steps, "collapse": collapse}
    for part in sys.argv[1:] or parts:
        parts[part]()
