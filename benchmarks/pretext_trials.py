"""Short trials of SimCLR's settings on CIFAR-10, and what the features hold that a run of SCAN started from.

    SELFSORT_DATA=... python benchmarks/pretext_trials.py settings [NAME] [SECONDS] [NUMBER] | another |
        starts FEATURES... | supervised | small | nets [NAME] | optimizers | features RUN

settings: passes over all training images, or as many as take so many seconds, with each setting of one part of `LONG`,
or with one of them; 10,000 training images are then classified by their neighbors among the others. The labels choose
settings here: nothing of the test images does.
starts: groups of features that `settings` has written to reproduced/, by k-means and by the graph, and what SCAN makes
of the features from each start, and from a random one.
another: the rows of `selfsort reproduce scan-cifar10` with another network than the recipe's for a GPU.
supervised: a network that learns from the labels, as a bound of what features of these re-encoded images may reach.
small: 50 passes over 6,000 images at 16 pixels, for machines without a GPU.
nets: other networks on the same, each with as many passes as take about the same time on a core of its own.
optimizers: airbench's network on the same, 30 passes by each optimizer and rate.
features: the kNN accuracy on the test images of the encoder in the checkpoint ``pretext.pt`` of RUN, which
`selfsort reproduce scan-cifar10` makes.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from record import record
from selfsort.augment import VIEWS, simclr, weak
from selfsort.datasets import load_dataset
from selfsort.features.project import unit_rows
from selfsort.methods.graph import GraphClusterer
from selfsort.methods.kmeans import KMeans
from selfsort.methods.pairs import Pairs
from selfsort.methods.pretext import HIDDEN, Contrast, contrast_plan, make_projector
from selfsort.methods.scan import SCAN
from selfsort.methods.trained import Scaling, outputs
from selfsort.metrics import score_all
from selfsort.nets.backbones import make_backbone
from selfsort.probes import knn_probe
from selfsort.reproduce.recipe import Job, clusters, load_recipe
from selfsort.training.loop import train
from selfsort.training.schedule import Optimizer, Plan
from selfsort.training.session import Session

SEED = 100
VIEW_SIDES = (0.5, 1.0)  # of views that grow


def told(note: str, part: str = "") -> str:
    """Return the words for CIFAR-10, or a part of it, as published or, where its note says so, as it is here."""
    encoded = "re-encoded as JPEG" if "JPEG" in note else "as published"
    return ", ".join(filter(None, (f"CIFAR-10 {part}".strip(), encoded)))


class Trial(NamedTuple):
    """Settings; `n_epochs` is as many passes as fit into the seconds that are given where it is None."""

    backbone: str = "resnet18"
    width: int = 64
    optimizer: Optimizer = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema: float | None = None
    hidden: int | None = None
    temperature: float = 0.1
    n_epochs: int | None = None
    growth: float = 0.8
    batch_size: int = 512
    crop: float = 0.2  # least share of the area


_CPU = Trial("airbench", 32, "muon", 0.02, n_epochs=35, growth=0.9, batch_size=256)
_WHOLE = Trial(n_epochs=60, growth=0.0)
LONG = {
    "optimizers": (
        Trial(optimizer="sgd", learning_rate=0.4, weight_decay=1e-4, n_epochs=16),
        Trial(optimizer="sgd", learning_rate=0.4, weight_decay=5e-4, n_epochs=16),
        Trial(optimizer="sgd", learning_rate=0.4, weight_decay=5e-4, ema=0.99, hidden=HIDDEN, n_epochs=16),
        Trial(optimizer="sgd", learning_rate=0.4, weight_decay=5e-4, temperature=0.2, n_epochs=16),
        Trial(n_epochs=16),
        Trial(optimizer="sgd", learning_rate=0.06, weight_decay=5e-4, n_epochs=12),
        Trial(ema=0.99, hidden=HIDDEN, n_epochs=12),
        Trial(hidden=HIDDEN, temperature=0.2, n_epochs=12),
        Trial(learning_rate=4e-3, n_epochs=12),
    ),
    "long": (
        Trial(n_epochs=60, growth=0.0),
        Trial(n_epochs=60, growth=0.0, crop=0.08),
        Trial(n_epochs=60, growth=0.0, crop=0.08, optimizer="muon", learning_rate=0.02),
        Trial(
            n_epochs=60, growth=0.0, crop=0.08, optimizer="sgd", learning_rate=0.06, weight_decay=5e-4, temperature=0.5
        ),
    ),
    "muon": tuple(Trial(optimizer="muon", learning_rate=rate, n_epochs=16) for rate in (0.005, 0.01, 0.02)),
    "nets": (
        Trial("airbench"),
        Trial("airbench", width=128),
        Trial("airbench", growth=0.0),
        Trial("resnet18"),
    ),
    "cpu": (
        _CPU,
        _CPU._replace(crop=0.08),
        _CPU._replace(n_epochs=12),
        _CPU._replace(n_epochs=12, growth=0.0),
    ),
}
#: Smallest share of the area in a crop, temperature.
SMALL = ((0.2, 0.1), (0.08, 0.1), (0.2, 0.5), (0.2, 0.2))
#: Encoder, width, passes.
NETS = (("resnet18", 16, 38), ("airbench", 32, 60))
#: Optimizer, rate.
OPTIMIZERS = tuple(("adamw", rate) for rate in (0.002, 0.004, 0.008)) + tuple(
    ("muon", rate) for rate in (0.005, 0.01, 0.02, 0.04, 0.08)
)
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


def settings(name: str = "nets", seconds: str = "35", number: str | None = None) -> None:
    data = load_dataset("cifar-10", "train")
    images, labels = data.images, np.asarray(data.labels)
    chosen = LONG[name] if number is None else LONG[name][int(number) :][:1]
    for trial in chosen:
        if trial.n_epochs is None:
            rows = _pretext(trial._replace(n_epochs=4, growth=0.5), images)[0].history
            small, whole = rows[1]["seconds"], rows[3]["seconds"]  # the first of each has more to do
            n_epochs = round(float(seconds) / (trial.growth * small + (1 - trial.growth) * whole))
            trial = trial._replace(n_epochs=max(2, n_epochs))
        start = time.perf_counter()
        session, net = _pretext(trial, images)
        device = session.fabric.device
        taken = time.perf_counter() - start
        features = outputs(lambda x, net=net: net.encoder(net.scaling(x)), images, device)
        Path("reproduced").mkdir(exist_ok=True)
        np.save(f"reproduced/{trial.backbone}-{trial.n_epochs}-passes-crops-{trial.crop:g}.npy", features)
        record(
            "pretext_device",
            what="trial of settings",
            data=told(data.note, "train"),
            protocol="fitted on 50,000 training images; 10,000 of them by 100 weighted neighbors among the other "
            f"40,000, whose labels were looked at to choose settings; seed {SEED}",
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            params=trial._asdict(),
            view_sides=VIEW_SIDES,
            knn=round(knn_probe(features[:40_000], labels[:40_000], features[40_000:], labels[40_000:]), 4),
            found=round(session.history[-1]["found"], 4),
            seconds=round(taken, 1),
        )


def starts(*files: str) -> None:
    data = load_dataset("cifar-10", "train")
    labels = np.asarray(data.labels)
    for file in files:
        features, found = unit_rows(np.load(file)), {}
        for seed in range(2):
            models = {"k-means": KMeans(10, random_state=seed), "graph": GraphClusterer(10, random_state=seed)}
            for init in ("random", "kmeans", "graph"):
                scan = SCAN(10, init=init, prior="equal", label_epochs=0, learning_rate=1e-3, batch_size=512)
                models[f"SCAN, {init} start"] = scan.set_params(random_state=seed)
            for name, model in models.items():
                scores = score_all(labels, model.fit(features).labels_)
                for key in ("acc", "nmi", "largest_share"):
                    found.setdefault(name, {}).setdefault(key, []).append(round(scores[key], 4))
        record(
            "pretext_device",
            what="starts",
            data=told(data.note, "train"),
            protocol="10 clusters of 50,000 images by frozen features, fitted and scored on the same; seeds 0 and 1",
            device="cpu",
            features=Path(file).stem,
            found=found,
        )


def _pretext(trial: Trial, images: np.ndarray) -> tuple[Session, Contrast]:
    session = Session(seed=SEED)
    net = made(images.shape[1:], trial.width, trial.hidden, trial.temperature, trial.ema, trial.backbone)
    net.to(session.fabric.device)
    growing = round(trial.growth * trial.n_epochs * (len(images) // trial.batch_size))
    VIEWS["trial"] = lambda size=None: replace(simclr(size), crop=(trial.crop, 1.0))
    pairs = Pairs("trial", images, net.scaling, session, both_changed=True, growing=growing)
    batches = session.batches(images, trial.batch_size, pairs, before_step=pairs.grow)
    plan = contrast_plan(trial.optimizer, trial.learning_rate, trial.n_epochs, trial.weight_decay)
    train(session, "trial", net, batches, plan)
    net.settle()
    return session, net


def another(seed: str = "0") -> None:
    settings = {
        "backbone": "airbench",
        "pretext_epochs": 290,
        "pretext_growth": 0.5,
        "n_epochs": 20,
        "label_epochs": 20,
    }
    recipe, rows = load_recipe("scan-cifar10"), {}
    place = Path("reproduced/scan-cifar10-another")
    place.mkdir(parents=True, exist_ok=True)
    for row in recipe.rows:
        params = recipe.params | recipe.full.params | settings | row.params
        measured = clusters(Job(recipe, row, params, int(seed), "auto", place))
        shown = {key: round(measured.scores[key], 4) for key in ("acc", "nmi", "ari", "mined@1", "mined@5", "mined@20")}
        rows[row.name] = shown | {"seconds": round(measured.seconds, 1)}
    device = Session().fabric.device
    record(
        "pretext_device",
        what="SCAN by another network",
        data=told(measured.note),
        protocol=f"{measured.protocol}; seed {seed}",
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        params=recipe.params | recipe.full.params | settings,
        rows=rows,
    )


class Classified(nn.Module):
    """Cross-entropy with the labels."""

    def __init__(self, net: nn.Module, labels: np.ndarray) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("labels", torch.from_numpy(labels))

    def forward(self, x: torch.Tensor, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss of scaled images; `rows` are their numbers."""
        return {"loss": nn.functional.cross_entropy(self.net(x).float(), self.labels[rows], label_smoothing=0.1)}


def supervised(width: str = "128", n_epochs: str = "24") -> None:
    data, test = load_dataset("cifar-10", "train"), load_dataset("cifar-10", "test")
    session, start = Session(seed=SEED), time.perf_counter()
    torch.manual_seed(SEED)
    encoder, n_features = make_backbone("airbench", data.images.shape[1:], int(width))
    objective = Classified(nn.Sequential(encoder, nn.Linear(n_features, 10)), np.asarray(data.labels))
    scaling, view = Scaling(0, 1 / 255).to(session.fabric.device), weak(data.images.shape[2:])
    batches = session.batches(data.images, 512, lambda x, rows: (view(scaling(x)), rows))
    plan = Plan(int(n_epochs), 4e-3, "adamw", weight_decay=0.05, schedule="one-cycle", replay=True)
    train(session, "supervised", objective, batches, plan)
    seconds = time.perf_counter() - start
    device = session.fabric.device
    known = outputs(lambda x: objective.net(scaling(x)), test.images, device).argmax(1)
    record(
        "pretext_device",
        what="supervised, for comparison",
        data=told(data.note),
        protocol=f"fitted on 50,000 training images with their labels, {n_epochs} passes, mirror images and shifts; "
        f"scored on 10,000 test images; seed {SEED}",
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        net=f"airbench, width {width}",
        accuracy=round(float((known == np.asarray(test.labels)).mean()), 4),
        seconds=round(seconds, 1),
    )


def small() -> None:
    for least, temperature in SMALL:
        _small("trial of crops and temperatures", Trial("resnet18", 16, temperature=temperature, n_epochs=50), least)


def nets(*names: str) -> None:
    for backbone, width, n_epochs in NETS:
        if not names or backbone in names:
            _small("trial of nets", Trial(backbone, width, n_epochs=n_epochs))


def optimizers() -> None:
    for name, rate in OPTIMIZERS:
        _small("trial of optimizers", Trial("airbench", 32, name, rate, n_epochs=30))


def _small(what: str, trial: Trial, least: float = 0.2, n: int = 6000, side: int = 16) -> None:
    data = load_dataset("cifar-10", "train")
    images, labels = data.images[:n], torch.from_numpy(np.asarray(data.labels)[:n])
    session, start = Session(seed=SEED), time.perf_counter()
    net = made(images.shape[1:], trial.width, None, trial.temperature, None, trial.backbone)
    view = replace(simclr(images.shape[2:]), size=side, crop=(least, 1.0))

    def views(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return view.two_views(net.scaling(x))

    def shown(x: torch.Tensor) -> torch.Tensor:
        size = (side + 4, side + 4)
        return net.encoder(torch.nn.functional.interpolate(net.scaling(x), size, mode="bilinear", antialias=True))

    plan = contrast_plan(trial.optimizer, trial.learning_rate, trial.n_epochs, trial.weight_decay)
    train(session, "trial", net, session.batches(images, 256, views), plan)
    seconds = time.perf_counter() - start
    similar = torch.from_numpy(unit_rows(outputs(shown, images, session.fabric.device)))
    similar = (similar @ similar.T).fill_diagonal_(-2)
    best = similar.topk(50)
    votes = torch.zeros(n, 10).scatter_add_(1, labels[best.indices], (best.values / 0.1).exp())
    record(
        "pretext_device",
        what=what,
        data=told(data.note, f"train, the first {n:,} images"),
        protocol=f"{trial.n_epochs} passes at 16 pixels, batch 256, {trial.optimizer}, rate {trial.learning_rate}, "
        f"weight decay {trial.weight_decay}; 50 weighted neighbors at 20 pixels among the same images, whose labels "
        f"were looked at; one core, seed {SEED}",
        device=session.fabric.device.type,
        net=f"{NAMES[trial.backbone]}, width {trial.width}",
        optimizer=trial.optimizer,
        learning_rate=trial.learning_rate,
        n_epochs=trial.n_epochs,
        crop=[least, 1.0],
        temperature=trial.temperature,
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
        data=told(data.note),
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
    part, *rest = sys.argv[1:] or ["settings"]
    parts = (settings, starts, another, supervised, small, nets, optimizers, features)
    {function.__name__: function for function in parts}[part](*rest)
