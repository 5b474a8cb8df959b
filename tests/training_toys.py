"""A small thing to train, with all that has a state, and a run of it that may be killed."""

import numpy as np
import torch
from torch import nn

from selfsort.training.batches import Batches
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import Session, random_state

IMAGES = np.random.default_rng(0).integers(0, 256, (100, 1, 8, 8)).astype(np.uint8)


class Toy(nn.Module):
    """Everything with a state or a random draw: also a buffer and weights that are changed between epochs."""

    def __init__(self):
        super().__init__()
        with random_state(0):
            self.net = nn.Sequential(
                nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 3)
            )
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, x, rows):
        out = self.net(x + 0.1 * torch.rand_like(x)).float() - self.shift
        return {"loss": out.square().mean(), "largest": out.detach().abs().max()}

    def before_epoch(self, epoch):
        self.shift.add_(0.1)
        if epoch != 2:
            return None
        nn.init.constant_(self.net[-1].weight, 0.01)
        return self.net[-1]


def view(x, rows):
    return x.float() / 255, rows


class KilledError(Exception):
    pass


def run(plan=None, *, folder=None, stop_at=None, batch_size=16, samples=IMAGES, monkeypatch=None, **settings):
    """Train a toy; with `stop_at` die after that step, as by kill -9: whatever was not kept is lost."""

    def progress(stage, done, total):
        if stop_at is not None and done >= stop_at:
            raise KilledError

    session = Session(folder=folder, progress=progress, checkpoint_seconds=0, **settings)
    toy = Toy()
    batches = Batches(samples, batch_size, 7, view, device=session.fabric.device)
    train(session, "toy", toy, batches, plan or Plan(4, 0.01), before_epoch=toy.before_epoch)
    return toy.state_dict(), session


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
