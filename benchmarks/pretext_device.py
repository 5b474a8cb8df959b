"""Seconds of a pass of SimCLR over CIFAR-10 on a GPU, beside the network alone and SCAN's own code on the same GPU.

    SELFSORT_DATA=... python benchmarks/pretext_device.py [--net resnet18] [--width 64] [--batch 512]
        [--passes 3] [--compile] [--images 50000]

Ours is a whole pass: views, loss, optimizer and the loop, after one that is not counted, its steps replayed as CUDA
graphs or each launched anew. Bare is the network's forward
and backward pass on views that are there already. Utilization is the network's floating-point operations per second as
a share of --peak, the bf16 rate without sparsity that the maker of the GPU gives. With SCAN_CODE, the folder of
github.com/wvangansbeke/Unsupervised-Classification, its pass is timed too: its settings, transforms, DataLoader of 8
workers, loss and training function, on the same images. It needs torchvision, easydict, termcolor and pyyaml.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from record import record
from selfsort.augment import simclr
from selfsort.datasets import load_dataset
from selfsort.methods.pairs import Pairs
from selfsort.methods.pretext import Contrast, contrast_plan, make_projector
from selfsort.methods.trained import Scaling
from selfsort.nets.backbones import make_backbone
from selfsort.runtime import n_threads
from selfsort.training.loop import train
from selfsort.training.session import Session

NAMES = {"resnet18": "ResNet-18", "airbench": "airbench"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time SimCLR's passes on a device.")
    parser.add_argument("--net", default="resnet18", choices=NAMES)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--peak", type=float, default=989e12)
    parser.add_argument("--ema", type=float)
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    images = load_dataset("cifar-10", "train").images[: asked.images]
    device = Session().fabric.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    half = tuple(side // 2 for side in images.shape[2:])
    seconds = {
        "ours": ours(images, asked),
        "ours_launched": ours(images, asked, replay=False),
        "ours_half_size": ours(images, asked, small=True),
        "ours_half_size_launched": ours(images, asked, small=True, replay=False),
        "bare": bare(images, asked, images.shape[2:]),
        "bare_half_size": bare(images, asked, half),
        "views": views(images, asked),
    }
    if "SCAN_CODE" in os.environ:
        seconds["scan_code"] = peer(images, Path(os.environ["SCAN_CODE"]))
    scale = 50_000 / len(images)
    with FlopCounterMode(display=False) as counter:
        encoder = make_backbone(asked.net, images.shape[1:], asked.width).module
        encoder(torch.rand(2, *images.shape[1:])).sum().backward()
    rate = counter.get_total_flops() * len(images) / seconds["ours"]
    record(
        "pretext_device",
        what="SimCLR, seconds per 50,000 images on a GPU",
        net=f"{NAMES[asked.net]}, width {asked.width}",
        data=f"CIFAR-10 train, {len(images):,} images",
        protocol=f"batch {asked.batch}, two views of each image, median of {asked.passes} passes after the first",
        device=name,
        processors=n_threads(),
        precision=Session().fabric._precision.precision,
        torch=torch.__version__,
        compiled=asked.compile,
        ema=asked.ema,
        seconds={key: round(value * scale, 3) for key, value in seconds.items()},
        teraflops=round(rate / 1e12, 1),
        utilization=round(rate / asked.peak, 3),
        of_bare=round(seconds["bare"] / seconds["ours"], 3),
        times_scan_code=round(seconds["scan_code"] / seconds["ours"], 1) if "scan_code" in seconds else None,
    )


def ours(images: np.ndarray, asked: argparse.Namespace, small: bool = False, replay: bool = True) -> float:
    session = Session()
    encoder, n_features = make_backbone(asked.net, images.shape[1:], asked.width)
    projector = make_projector(n_features, n_hidden=None if asked.ema is None else 2048)
    net = Contrast(Scaling.of(images), encoder, projector, 0.1, asked.ema).to(session.fabric.device)
    growing = 4 * (asked.passes + 1) * (len(images) // asked.batch) if small else 0  # so that no view grows
    pairs = Pairs("simclr", images, net.scaling, session, both_changed=True, growing=growing)
    plan = replace(contrast_plan("sgd", 0.1, asked.passes + 1), compile=asked.compile, replay=replay)
    train(session, "bench", net, session.batches(images, asked.batch, pairs, before_step=pairs.grow), plan)
    return float(np.median([row["seconds"] for row in session.history[1:]]))


def bare(images: np.ndarray, asked: argparse.Namespace, size: tuple[int, ...]) -> float:
    device = Session().fabric.device
    net = make_backbone(asked.net, images.shape[1:], asked.width).module.to(device, memory_format=torch.channels_last)
    x = torch.rand(2 * asked.batch, images.shape[1], *size, device=device)
    x = x.contiguous(memory_format=torch.channels_last)

    def once() -> None:
        for _ in range(len(images) // asked.batch):
            with torch.autocast(device.type, torch.bfloat16):
                loss = net(x).square().mean()
            loss.backward()

    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        return timed(once, asked.passes)


def views(images: np.ndarray, asked: argparse.Namespace) -> float:
    device = Session().fabric.device
    x, view = torch.rand(asked.batch, *images.shape[1:], device=device), simclr(images.shape[2:])

    def once() -> None:
        for _ in range(2 * (len(images) // asked.batch)):
            view(x)

    return timed(once, asked.passes)


def timed(once: Callable[[], None], n_passes: int) -> float:
    """Return the median of passes after the first."""
    seconds = []
    for _ in range(n_passes + 1):
        start = time.perf_counter()
        once()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def peer(images: np.ndarray, code: Path) -> float:
    """Return the seconds of one pass of SCAN's own pretext code, after a few steps that are not counted."""
    sys.path.insert(0, str(code))
    if not torch.cuda.is_available():  # to try it
        torch.Tensor.cuda = lambda self, *args, **options: self
    import collections.abc
    from types import SimpleNamespace

    import yaml

    sys.modules["torch._six"] = SimpleNamespace(string_classes=str)  # what its Python and torch still had
    collections.Mapping, collections.Sequence = collections.abc.Mapping, collections.abc.Sequence
    from data.cifar import CIFAR10
    from data.custom_dataset import AugmentedDataset
    from easydict import EasyDict
    from utils import common_config, train_utils

    settings = EasyDict(yaml.safe_load((code / "configs/pretext/simclr_cifar10.yml").read_text()))
    transform = common_config.get_train_transformations(settings)

    def loader(rows: np.ndarray) -> torch.utils.data.DataLoader:
        data = CIFAR10.__new__(CIFAR10)
        data.data, data.targets = rows.transpose(0, 2, 3, 1), [0] * len(rows)
        data.transform, data.classes = transform, [""]
        return common_config.get_train_dataloader(settings, AugmentedDataset(data))

    model = common_config.get_model(settings).to(Session().fabric.device)
    torch.backends.cudnn.benchmark = True
    criterion = common_config.get_criterion(settings)
    optimizer = common_config.get_optimizer(settings, model)
    common_config.adjust_learning_rate(settings, optimizer, 0)
    train_utils.simclr_train(loader(images[:5120]), model, criterion, optimizer, 0)
    whole = loader(images)
    start = time.perf_counter()
    train_utils.simclr_train(whole, model, criterion, optimizer, 1)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
