"""Short trials of SimCLR's settings on CIFAR-10, and what the features hold that a run of SCAN started from.

    SELFSORT_DATA=... python benchmarks/pretext_trials.py gpu [NAME] | small | nets [NAME] | features RUN

gpu: a few passes over all training images, views that grow in 80 % of them, with each setting in `ON_A_GPU`; 10,000
training images are then classified by their neighbors among the others. The labels choose settings here: nothing of
the test images does.
small: 50 passes over 6,000 images at 16 pixels, for machines without a GPU.
nets: other networks on the same, each with as many passes as take about the same time on a core of its own.
features: the kNN accuracy on the test images of the encoder in the checkpoint ``pretext.pt`` of RUN, which
`selfsort reproduce scan-cifar10` makes.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from record import record
from selfsort.augment import simclr
from selfsort.datasets import load_dataset
from selfsort.features.project import unit_rows
from selfsort.methods.pairs import Pairs
from selfsort.methods.pretext import HIDDEN, Contrast, contrast_plan, make_projector
from selfsort.methods.trained import Scaling, outputs
from selfsort.nets.backbones import make_backbone
from selfsort.probes import knn_probe
from selfsort.training.loop import train
from selfsort.training.session import Session

NOTE = "re-encoded as JPEG"
SEED = 100
VIEW_SIDES = (0.5, 1.0)  # of views that grow
#: Encoder, width, optimizer, rate, weight decay, ema, normalized hidden units, temperature, passes.
ON_A_GPU = (
    ("resnet18", 64, "sgd", 0.4, 1e-4, None, None, 0.1, 16),
    ("resnet18", 64, "sgd", 0.4, 5e-4, None, None, 0.1, 16),
    ("resnet18", 64, "sgd", 0.4, 5e-4, 0.99, HIDDEN, 0.1, 16),
    ("resnet18", 64, "sgd", 0.4, 5e-4, None, None, 0.2, 16),
    ("resnet18", 64, "adamw", 2e-3, 0.05, None, None, 0.1, 16),
    ("resnet18", 64, "sgd", 0.06, 5e-4, None, None, 0.1, 12),
    ("resnet18", 64, "adamw", 2e-3, 0.05, 0.99, HIDDEN, 0.1, 12),
    ("resnet18", 64, "adamw", 2e-3, 0.05, None, HIDDEN, 0.2, 12),
    ("resnet18", 64, "adamw", 4e-3, 0.05, None, None, 0.1, 12),
    ("airbench", 64, "adamw", 2e-3, 0.05, None, None, 0.1, 40),
    ("airbench", 128, "adamw", 2e-3, 0.05, None, None, 0.1, 16),
)
#: Smallest share of the area in a crop, temperature.
SMALL = ((0.2, 0.1), (0.08, 0.1), (0.2, 0.5), (0.2, 0.2))
#: Encoder, width, passes.
NETS = (("resnet18", 16, 38), ("airbench", 32, 60))
NAMES = {"resnet18": "ResNet-18", "airbench": "airbench"}


def made(
    shape: tuple[int, ...],
    width: int,
    hidden: int | None,
    temperature: float,
    ema: float | None,
    backbone: str = "resnet18",
) -> Contrast:
    torch.manual_seed(SEED)
    encoder, n_features = make_backbone(backbone, shape, width)
    return Contrast(Scaling(0, 1 / 255), encoder, make_projector(n_features, n_hidden=hidden), temperature, ema)


def gpu(*names: str, batch: int = 512) -> None:
    data = load_dataset("cifar-10", "train")
    images, labels = data.images, np.asarray(data.labels)
    for backbone, width, optimizer, rate, decay, ema, hidden, temperature, n_epochs in ON_A_GPU:
        if names and backbone not in names:
            continue
        session, start = Session(seed=SEED), time.perf_counter()
        device = session.fabric.device
        net = made(images.shape[1:], width, hidden, temperature, ema, backbone).to(device)
        growing = round(0.8 * n_epochs * (len(images) // batch))
        pairs = Pairs("simclr", images, net.scaling, session, both_changed=True, growing=growing)
        batches = session.batches(images, batch, pairs, before_step=pairs.grow)
        train(session, "trial", net, batches, contrast_plan(optimizer, rate, n_epochs, decay))
        features = outputs(lambda x, net=net: net.encoder(net.scaling(x)), images, device)
        record(
            "pretext_device",
            what="trial of settings",
            data=f"CIFAR-10 train, {NOTE}",
            protocol="fitted on 50,000 training images; 10,000 of them by 100 weighted neighbors among the other "
            f"40,000, whose labels were looked at to choose settings; seed {SEED}",
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            params={
                "backbone": backbone,
                "optimizer": optimizer,
                "learning_rate": rate,
                "weight_decay": decay,
                "ema": ema,
                "temperature": temperature,
                "n_epochs": n_epochs,
                "growth": 0.8,
                "batch_size": batch,
                "width": width,
                "hidden": hidden,
            },
            view_sides=VIEW_SIDES,
            knn=round(knn_probe(features[:40_000], labels[:40_000], features[40_000:], labels[40_000:]), 4),
            seconds=round(time.perf_counter() - start, 1),
        )


def small() -> None:
    for least, temperature in SMALL:
        _small("trial of crops and temperatures", "resnet18", 16, 50, least, temperature)


def nets(*names: str) -> None:
    for backbone, width, n_epochs in NETS:
        if not names or backbone in names:
            _small("trial of nets", backbone, width, n_epochs, 0.2, 0.1)


def _small(
    what: str, backbone: str, width: int, n_epochs: int, least: float, temperature: float, n: int = 6000, side: int = 16
) -> None:
    data = load_dataset("cifar-10", "train")
    images, labels = data.images[:n], torch.from_numpy(np.asarray(data.labels)[:n])
    session, start = Session(seed=SEED), time.perf_counter()
    net = made(images.shape[1:], width, None, temperature, None, backbone)
    view = replace(simclr(images.shape[2:]), size=side, crop=(least, 1.0))

    def views(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return view.two_views(net.scaling(x))

    def shown(x: torch.Tensor) -> torch.Tensor:
        size = (side + 4, side + 4)
        return net.encoder(torch.nn.functional.interpolate(net.scaling(x), size, mode="bilinear", antialias=True))

    plan = contrast_plan("adamw", 2e-3, n_epochs, 0.05)
    train(session, "trial", net, session.batches(images, 256, views), plan)
    seconds = time.perf_counter() - start
    similar = torch.from_numpy(unit_rows(outputs(shown, images, session.fabric.device)))
    similar = (similar @ similar.T).fill_diagonal_(-2)
    best = similar.topk(50)
    votes = torch.zeros(n, 10).scatter_add_(1, labels[best.indices], (best.values / 0.1).exp())
    record(
        "pretext_device",
        what=what,
        data=f"CIFAR-10 train, the first {n:,} images, {NOTE}",
        protocol=f"{n_epochs} passes at 16 pixels, batch 256, AdamW 0.002, weight decay 0.05; 50 weighted neighbors at "
        f"20 pixels among the same images, whose labels were looked at; one core, seed {SEED}",
        device=session.fabric.device.type,
        net=f"{NAMES[backbone]}, width {width}",
        n_epochs=n_epochs,
        crop=[least, 1.0],
        temperature=temperature,
        knn=round(float((votes.argmax(1) == labels).float().mean()), 4),
        found=round(session.history[-1]["found"], 3),
        seconds=round(seconds),
    )


def features(folder: str) -> None:
    run = Path(folder)
    made_by = json.loads(run.with_name(f"{run.name}.json").read_text())
    seed, params = made_by["seed"], made_by["params"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["stage"] == "pretext"]
    state = torch.load(run / "pretext.pt", map_location="cpu", weights_only=True)
    state = state.get("state", state)["objective"]
    data = load_dataset("cifar-10", "all")
    n_train = len(load_dataset("cifar-10", "train").images)
    start = "encoder." if params.get("pretext_ema") is None else "average.0."
    device = Session().fabric.device
    net = made(data.images.shape[1:], params["width"], None, 1.0, None, params["backbone"]).to(device)
    net.encoder.load_state_dict({key[len(start) :]: of for key, of in state.items() if key.startswith(start)})
    net.eval()
    found, labels = outputs(lambda x: net.encoder(net.scaling(x)), data.images, device), np.asarray(data.labels)
    known = found[:n_train], labels[:n_train], found[n_train:], labels[n_train:]
    record(
        "pretext_device",
        what="kNN of the features that SCAN starts from",
        data=f"CIFAR-10, {NOTE}",
        protocol="fitted on train, 50,000 images, without labels; 10,000 test images by 100 weighted neighbors among "
        f"train; seed {seed}",
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        knn=round(knn_probe(*known), 4),
        found=round(rows[-1]["found"], 4),
        seconds=round(sum(row["seconds"] for row in rows), 1),
        view_sides=VIEW_SIDES,
        params=params,
    )


if __name__ == "__main__":
    part, *rest = sys.argv[1:] or ["gpu"]
    {"gpu": gpu, "small": small, "nets": nets, "features": features}[part](*rest)
