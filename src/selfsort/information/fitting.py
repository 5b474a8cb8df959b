"""How a critic is trained: on some samples, stopped by others, for a third part to be valued."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from selfsort.errors import DataError
from selfsort.information.bounds import BLOCK, contributions, paired
from selfsort.information.columns import FloatArray, NormalScores, as_columns, checked
from selfsort.information.critic import Critic, Objective
from selfsort.training.batches import Batches, mixed
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import Session, random_state

#: Steps between two looks at the samples that stop the training.
CHECK_STEPS = 20
#: How many of them there are at most.
N_CHECK = 1024
BATCH_SIZE = 128
#: Of the critics of a table. Without it they learn the samples by heart before they find what is there.
WEIGHT_DECAY = 1.0
#: Share of the steps after which a critic is given up that the samples which stop the training value no higher.
PATIENCE = 1 / 3
#: Of a law: samples that its columns' ranks, and the ceiling of the scores, are learned from.
_REFERENCE = 20_000
#: What is tried as the ceiling: no score counts more than this share of the pairs that belong together reach.
_CEILINGS = (0.999, 0.99)

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Curve = list[tuple[int, float]]
#: Called as ``sample(n, seed)``; returns x and y of n samples, drawn from the seed alone.
Sampler = Callable[[int, int], tuple[Any, Any]]


@dataclass(frozen=True)
class Settings:
    """How long and how a critic is trained."""

    n_steps: int
    hidden: Sequence[int]
    batch_size: int | None
    learning_rate: float


class Part(NamedTuple):
    """What one critic is trained on, stopped by, and valued on, all in normal scores."""

    train: Pair | Callable[[int, int], Pair]
    check: Pair
    held_out: Pair

    @property
    def endless(self) -> bool:
        """Whether training never sees a sample twice."""
        return callable(self.train)

    @property
    def n_train(self) -> float:
        """How many samples training sees."""
        return math.inf if callable(self.train) else len(self.train[0])


def folds(x: FloatArray, y: FloatArray, seed: int) -> Iterator[Part]:
    """Yield parts of a table, so that every sample is held out once."""
    order = np.random.default_rng(mixed(seed, 0)).permutation(len(x))
    for held_out in np.array_split(order, n_folds(len(x))):
        rest = order[~np.isin(order, held_out)]
        check, fit = np.split(rest, [min(N_CHECK, len(rest) // 6)])
        scores = _scores(x[rest], y[rest])  # so the held-out samples have no part in the ranks either
        yield Part(*(scores(x[rows], y[rows]) for rows in (fit, check, held_out)))


def n_folds(n: int) -> int:
    """Return in how many parts n samples are held out: more where they are few, as each must leave enough to learn."""
    return 5 if n < 10_000 else 2


def draws(sample: Sampler, n: int, seed: int) -> Iterator[Part]:
    """Yield the one part of a law that can be drawn from: training never sees a sample twice."""

    def fresh(size: int, number: int) -> Pair:
        x, y = sample(size, number)
        return scores(as_columns(x, "x"), as_columns(y, "y"))

    reference = drawn(sample, _REFERENCE, mixed(seed, 0))
    scores = _scores(*reference)
    yield Part(fresh, scores(*reference), scores(*drawn(sample, n, mixed(seed, 1))))


def drawn(sample: Sampler, n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Draw n samples of a law and check them."""
    x, y = checked(*sample(n, seed))
    if len(x) != n:
        raise DataError(f"sample(n, seed) must return n samples: got {len(x)} rows for n={n}.")
    return x, y


def _scores(x: FloatArray, y: FloatArray) -> Callable[[FloatArray, FloatArray], Pair]:
    first, second = NormalScores(x), NormalScores(y)
    return lambda x, y: (first(x), second(y))


def fit(part: Part, estimator: str, settings: Settings, session: Session, stage: str) -> tuple[FloatArray, Curve]:
    """Train a critic on one part and value it.

    Where samples are few, a critic soon learns them by heart. So on a table the weights decay, the samples of
    ``part.check`` are valued every `CHECK_STEPS` steps, and the critic is kept that they value most. With new samples
    in every step there is nothing to learn by heart, and the last critic is kept.

    Returns
    -------
    contributions : ndarray, shape (n_held_out,)
        See `selfsort.information.bounds.contributions`.
    curve : list of (step, value)
        The bound on the samples of ``part.check``, in nats.
    """
    device = session.fabric.device
    check = _tensors(part.check, device)
    few = check if not part.endless else (check[0][:BLOCK], check[1][:BLOCK])
    with random_state(session.seed):
        critic = Critic(check[0].shape[1], check[1].shape[1], settings.hidden)
    objective = Objective(estimator, critic).to(device)
    n_epochs = -(-settings.n_steps // CHECK_STEPS)
    curve: Curve = []
    kept, ceiling = critic, math.inf

    def look(epoch: int) -> bool:
        nonlocal kept, ceiling
        value, highest = _value(estimator, critic, few)
        curve.append((epoch * CHECK_STEPS, value))
        if part.endless:
            return False
        best = int(np.argmax([value for _, value in curve]))
        if best == epoch:
            kept, ceiling = copy.deepcopy(critic), highest
        return epoch - best > PATIENCE * n_epochs

    plan = Plan(
        n_epochs,
        lr=settings.learning_rate,
        optimizer="adamw",
        weight_decay=0.0 if part.endless else WEIGHT_DECAY,
        schedule="cosine",
        warmup=0.05,
        clip=1.0,  # e^T of a single pair may be most of a gradient
    )
    train(session, stage, objective, _batches(part.train, settings, session), plan, before_epoch=look)
    if len(curve) == n_epochs:  # not stopped
        look(n_epochs)
    if part.endless:
        ceiling = _value(estimator, critic, check)[1]
    return contributions(estimator, kept, *_tensors(part.held_out, device), ceiling), curve


def _tensors(pair: Pair, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(pair[0]).to(device), torch.from_numpy(pair[1]).to(device)


def _value(estimator: str, critic: Critic, check: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Return the bound on samples, and the ceiling of scores that makes it largest.

    Of the random pairs one in millions may have a score so high that the mean of e^T is lost on it, where laws have
    heavy tails or the critic was trained by the Jensen-Shannon divergence, which hardly minds such a pair. A critic
    whose scores are cut off is a critic, so what it gives is a bound. (SMILE, Song & Ermon, ICLR 2020,
    arXiv:1910.06222, cuts off random pairs alone, and is none.)
    """
    joint = paired(critic, *check)
    values = {}
    for ceiling in [math.inf] if estimator == "info-nce" else [float(joint.quantile(share)) for share in _CEILINGS]:
        values[ceiling] = float(contributions(estimator, critic, *check, ceiling).mean())
    best = max(values, key=values.__getitem__)
    return values[best], best


def _batches(samples: Pair | Callable[[int, int], Pair], settings: Settings, session: Session) -> Batches:
    if callable(samples):
        size, draw = settings.batch_size or BATCH_SIZE, samples

        def fresh(_: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
            return _tensors(draw(len(rows), int(torch.randint(2**62, ()))), rows.device)

        return session.batches(np.zeros((size, 0), np.float32), size, fresh, steps_per_epoch=CHECK_STEPS)
    n, n_x = samples[0].shape
    size = settings.batch_size or min(BATCH_SIZE, n)
    both = np.concatenate(samples, 1)
    return session.batches(both, size, lambda rows, _: (rows[:, :n_x], rows[:, n_x:]), steps_per_epoch=CHECK_STEPS)
