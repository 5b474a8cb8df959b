"""Mutual information of two sets of columns, with the uncertainty of the estimate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real

import numpy as np
import numpy.typing as npt

from selfsort.arguments import CALL, TEXT, of, optional
from selfsort.arguments import checked as accepting
from selfsort.errors import DataError
from selfsort.information.binned import LIKELY_TO_COME, MOST_TO_COME, binned_information
from selfsort.information.bounds import info_nce_limit
from selfsort.information.columns import MIN_SAMPLES, FloatArray, checked
from selfsort.information.fitting import BATCH_SIZE, Part, Sampler, Settings, drawn, draws, fit, folds
from selfsort.runtime import Progress, silent
from selfsort.training.batches import mixed
from selfsort.training.session import Session, resolve_device

#: Name of each estimator -> how it is trained and valued.
ESTIMATORS = {
    "auto": "critic trained by InfoNCE, valued by Donsker-Varadhan",
    "dv": "Donsker-Varadhan (MINE), gradient corrected by a moving average",
    "nwj": "Nguyen-Wainwright-Jordan (MINE-f)",
    "jsd": "critic trained by the Jensen-Shannon divergence, valued by Donsker-Varadhan",
    "info-nce": "InfoNCE",
    "binned": "histogram, bins halved as far as the samples reach, Grassberger's entropy",
}
_Z95 = 1.96
#: InfoNCE is warned of from this share of its limit on.
_NEAR_LIMIT = 1 / 3


@dataclass(frozen=True)
class MutualInformation:
    """An estimate of mutual information, in nats.

    Attributes
    ----------
    value : float
        Never below 0.
    low, high : float
        95 % confidence interval of what `value` estimates: the bound that the trained critics reach on the law of the
        samples. It covers the sampling error of the held-out samples. It does not cover how far the bound lies below
        the mutual information, which nothing in the samples tells, nor what other training would have found. For
        "binned" it is an interval of the mutual information itself: the sampling error, and above also what the bins
        are estimated to lose.
    estimator : str
    n_samples : int
        That the value was computed on; each was held out from the critic that scored it.
    curve : ndarray of float64, shape (n_checks, 2)
        Steps, and the bound on the samples that stop the training, mean over the critics; empty for "binned".
    note : str
        What to know about the value.
    warnings : tuple of str
        Reasons to distrust it.
    """

    value: float
    low: float
    high: float
    estimator: str
    n_samples: int
    curve: FloatArray = field(repr=False)
    note: str = ""
    warnings: tuple[str, ...] = ()


@accepting(
    estimator=TEXT,
    sample=optional(CALL),
    hidden=of((list, tuple), "a list of whole numbers"),
    device=TEXT,
    progress=CALL,
)
def mutual_information(
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    estimator: str = "auto",
    *,
    sample: Sampler | None = None,
    n_samples: int = 200_000,
    n_steps: int = 2000,
    hidden: Sequence[int] = (128, 128),
    batch_size: int | None = None,
    learning_rate: float = 3e-3,
    device: str = "auto",
    random_state: int | None = None,
    progress: Progress = silent,
) -> MutualInformation:
    """Estimate the mutual information of x and y, in nats.

    All but "binned" train a critic on some of the samples and value it on others: a lower bound, whatever the critic.
    A table is held out in parts, 5 below 10,000 samples and 2 above, with a critic for each, so that every sample
    counts. All columns enter by their ranks (`selfsort.information.columns.NormalScores`), which changes no mutual
    information. Computed in float32, whatever the device: bfloat16 is too coarse for logarithms of means.

    Parameters
    ----------
    x, y : array-like of shape (n,) or (n, d), optional
        Row i of both belongs to one sample; samples are independent of one another. At least 100.
    estimator : str
        See `ESTIMATORS`.
    sample : callable, optional
        In the place of x and y, the law itself: ``sample(n, seed)`` returns x and y of n samples. Training then never
        sees a sample twice.
    n_samples : int
        How many of `sample` the value is computed on.
    n_steps : int
        Steps of training for each critic.
    hidden : sequence of int
        Widths of the critic's hidden layers.
    batch_size : int, optional
        128, or all samples where they are fewer.
    learning_rate : float
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
    random_state : int, optional
        Seed of everything random; the same seed gives the same value on one machine. Fresh if not given.
    progress : callable
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    MutualInformation

    Raises
    ------
    DataError
        Before work starts, if the input or a parameter cannot work.

    Warns
    -----
    UserWarning
        If the value is near what the estimator can reach at most, as in ``warnings`` of the result.

    References
    ----------
    See `selfsort.losses.information` for the bounds. McAllester & Stratos, "Formal Limitations on the Measurement of
    Mutual Information", AISTATS 2020, arXiv:1811.04251: no method proves more than about log n nats by n samples.

    Examples
    --------
    >>> x = np.arange(600) % 6
    >>> found = mutual_information(x, x // 2, "binned")  # y has three equally frequent values, all of them told by x
    >>> round(found.value, 2), round(math.log(3), 2)
    (1.1, 1.1)
    """
    settings = Settings(n_steps, tuple(hidden), batch_size, learning_rate)
    _check(estimator, settings, n_samples, random_state)
    seed = int(np.random.default_rng().integers(2**31)) if random_state is None else int(random_state)
    resolve_device(device)  # said before work starts
    session = Session(seed=seed, device=device, precision="32-true", progress=progress)
    if sample is not None and x is None and y is None:
        if estimator == "binned":
            return _binned(*drawn(sample, n_samples, seed))
        return _neural(list(draws(sample, n_samples, seed)), estimator, settings, session)
    if sample is not None or x is None or y is None:
        raise DataError("Mutual information is estimated from x and y, or from sample: pass both, or the other alone.")
    table = checked(x, y)
    if estimator == "binned":
        return _binned(*table)
    return _neural(list(folds(*table, seed)), estimator, settings, session)


def _check(estimator: str, settings: Settings, n_samples: int, random_state: int | None) -> None:
    if estimator not in ESTIMATORS:
        raise DataError(f"There is no estimator {estimator!r} of mutual information. Choose: {', '.join(ESTIMATORS)}.")
    whole = {"n_steps": settings.n_steps, "batch_size": settings.batch_size or BATCH_SIZE, "n_samples": n_samples}
    whole |= {f"hidden[{i}]": width for i, width in enumerate(settings.hidden)}
    least = {"n_samples": MIN_SAMPLES, "batch_size": 2}
    for name, number in whole.items():
        if not isinstance(number, Integral) or number < least.get(name, 1):
            raise DataError(f"{name} must be a whole number from {least.get(name, 1)}: got {number!r}.")
    if not (isinstance(settings.learning_rate, Real) and 0 < settings.learning_rate < math.inf):
        raise DataError(f"The learning rate must be a number above 0: got {settings.learning_rate!r}. Try 0.003.")
    if random_state is not None and (not isinstance(random_state, Integral) or random_state < 0):
        raise DataError(f"random_state must be a whole number from 0, or None for a fresh one: got {random_state!r}.")


def _binned(x: FloatArray, y: FloatArray) -> MutualInformation:
    found = binned_information(x, y)
    if not found.gain:
        note = "No column was cut into bins, or finer bins show no more."
        return _result(found.contributions, "binned", np.empty((0, 2)), [note], [])
    note = (
        f"The bins show {max(found.contributions.mean(), 0):.6g}, and bins twice as wide {found.gain:.3g} less. Half "
        "of that is added for what finer bins would show; the interval has room for twice of it."
    )
    lost = LIKELY_TO_COME * found.gain, MOST_TO_COME * found.gain
    return _result(found.contributions, "binned", np.empty((0, 2)), [note], [], lost)


def _neural(parts: list[Part], estimator: str, settings: Settings, session: Session) -> MutualInformation:
    smallest = min(part.n_train for part in parts)
    if settings.batch_size is not None and settings.batch_size > smallest:
        raise DataError(
            f"A batch must not be larger than the samples that a critic is trained on: got batch_size="
            f"{settings.batch_size} and {smallest:.0f} samples, as others are held out. Pass {smallest:.0f} or less."
        )
    found, curves = [], []
    for number, part in enumerate(parts, 1):
        own = replace(session, seed=mixed(session.seed, number), given_fabric=session.fabric, history=[])
        stage = f"critic {number} of {len(parts)}" if len(parts) > 1 else "critic"
        values, curve = fit(part, estimator, settings, own, stage)
        found.append(values)
        curves.append(curve)
    n_checks = min(map(len, curves))  # a critic that learns by heart is stopped early
    mean_curve = np.mean([curve[:n_checks] for curve in curves], 0)
    values = np.concatenate(found)
    reasons = _doubts(estimator, float(values.mean()), min(map(len, found)))
    return _result(values, estimator, mean_curve, ["A lower bound, up to sampling error."], reasons)


def _doubts(estimator: str, value: float, n: int) -> list[str]:
    """Return why a value of critics that were valued on n samples each is not to be trusted."""
    limit = info_nce_limit(n)
    if estimator == "info-nce" and value > _NEAR_LIMIT * limit:
        return [
            f"InfoNCE cannot exceed {limit:.2f} nats here, and is too low long before that: got {value:.2f}. "
            "Use the estimator auto."
        ]
    if estimator != "info-nce" and value > math.log(n):
        return [
            f"{n:,} held-out samples cannot show more than about {math.log(n):.1f} nats: got {value:.2f}, which may be "
            "far off on either side. Use more samples."
        ]
    return []


def _result(
    values: FloatArray,
    estimator: str,
    curve: FloatArray,
    notes: list[str],
    reasons: list[str],
    lost: tuple[float, float] = (0.0, 0.0),
) -> MutualInformation:
    """Return the result; of `lost`, what the estimator loses, the first is added to the value, the second to `high`."""
    value = float(values.mean())
    error = _Z95 * float(values.std()) / math.sqrt(len(values))
    if value < 0:
        notes = [*notes, f"The estimate was {value:.3g}; mutual information is never below 0."]
    for reason in reasons:
        warnings.warn(reason, UserWarning, stacklevel=4)
    low, middle, high = (max(0.0, number) for number in (value - error, value + lost[0], value + error + lost[1]))
    return MutualInformation(middle, low, high, estimator, len(values), curve, " ".join(notes), tuple(reasons))
