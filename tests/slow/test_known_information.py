"""Mutual information where it is known exactly: how far each estimator is off, over seeds.

To see the figures: pytest -m slow -s tests/slow/test_known_information.py
"""

import math
import time
from functools import partial

import numpy as np
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import norm

pytest.importorskip("torch")

from selfsort.information import gaussian_mutual_information, gaussian_sample
from selfsort.information.estimate import mutual_information

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:InfoNCE cannot exceed")]


def measured(name, exact, n_seeds, estimator, **data):
    """Return the mean error over seeds, as a share of the exact value, and in how many the interval holds it."""
    values, held, start = [], 0, time.perf_counter()
    for seed in range(n_seeds):
        given = {key: value(seed) if key in ("x", "y") else value for key, value in data.items()}
        found = mutual_information(**given, estimator=estimator, random_state=seed, device="cpu")
        values.append(found.value)
        held += found.low <= exact <= found.high
    error = np.mean(values) / exact - 1
    print(
        f"\n| {name} | {estimator} | {exact:.4f} | {np.mean(values):.4f} ± {np.std(values):.4f} | {error:+.1%} "
        f"| {held} of {n_seeds} | {(time.perf_counter() - start) / n_seeds:.1f} |",
        end="",
    )
    return error, held / n_seeds


def gaussian(rho, dim):
    return lambda n, seed: gaussian_sample(n, rho, dim, seed)


@pytest.mark.parametrize("rho", [0.5, 0.8])
@pytest.mark.parametrize("estimator", ["auto", "dv", "nwj", "jsd", "info-nce", "binned"])
def test_one_dimension(rho, estimator):
    options = {"n_samples": 1_000_000} if estimator == "binned" else {}
    exact = gaussian_mutual_information(rho)
    error, held = measured(f"Gaussian, rho {rho}, 1 + 1", exact, 10, estimator, sample=gaussian(rho, 1), **options)
    assert abs(error) <= 0.01
    if estimator == "auto":
        assert held >= 0.7


@pytest.mark.parametrize("dim", [5, 10, 20])
@pytest.mark.parametrize("estimator", ["auto", "dv", "nwj", "jsd", "info-nce"])
def test_many_dimensions(dim, estimator):
    exact = gaussian_mutual_information(0.5, dim)
    error, _ = measured(f"Gaussian, rho 0.5, {dim} + {dim}", exact, 5, estimator, sample=gaussian(0.5, dim))
    assert -0.1 <= error <= 0.01
    if estimator == "auto":
        assert abs(error) <= 0.05


def student(n, seed, dim, dof):
    """Coordinates that only share their scale: no correlation, and tails so heavy that some have no variance."""
    x, y = gaussian_sample(n, 0.0, dim, seed)
    scale = np.sqrt(dof / np.random.default_rng([seed, 1]).chisquare(dof, (n, 1)))
    return x * scale, y * scale


def student_information(dim, dof):
    def entropy(k):
        half = (dof + k) / 2
        peak = gammaln(half) - gammaln(dof / 2) - k / 2 * math.log(dof * math.pi)
        return half * (digamma(half) - digamma(dof / 2)) - peak

    return 2 * entropy(dim) - entropy(2 * dim)


def curved(n, seed, function, noise, dim):
    """Return x, and y: a function of x with Gaussian noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim))
    return x, function(x) + noise * rng.normal(size=(n, 1))


def curved_information(values, weights, noise, spread=0.0):
    """Return h(y) - h(noise): of y, a mixture of Gaussians around `values`."""
    deviation = np.sqrt(noise**2 + np.square(spread)) + np.zeros_like(values)
    grid = np.linspace(values.min() - 9 * deviation.max(), values.max() + 9 * deviation.max(), 4001)
    density = np.array([np.average(norm.pdf(point, values, deviation), weights=weights) for point in grid])
    return -np.trapezoid(density * np.log(density + 1e-300), grid) - 0.5 * math.log(2 * math.pi * math.e * noise**2)


Z = np.linspace(-8, 8, 4001)
W = norm.pdf(Z)
LAWS = {
    "y = x² + noise 0.5": (
        partial(curved, function=np.square, noise=0.5, dim=1),
        lambda: curved_information(Z**2, W, 0.5),
    ),
    "y = sin 3x + noise 0.3": (
        partial(curved, function=lambda x: np.sin(3 * x), noise=0.3, dim=1),
        lambda: curved_information(np.sin(3 * Z), W, 0.3),
    ),
    "y = x1 x2 + noise 0.3": (
        partial(curved, function=lambda x: x[:, :1] * x[:, 1:], noise=0.3, dim=2),
        lambda: curved_information(np.zeros_like(Z), W, 0.3, spread=Z),
    ),
    "Student, 3 degrees, 5 + 5": (partial(student, dim=5, dof=3), lambda: student_information(5, 3)),
    "Cauchy, 1 + 1": (partial(student, dim=1, dof=1), lambda: student_information(1, 1)),
    "Gaussian, rho 0.99, 1 + 1": (gaussian(0.99, 1), lambda: gaussian_mutual_information(0.99)),
}


@pytest.mark.parametrize("estimator", ["auto", "dv"])
@pytest.mark.parametrize("name", LAWS)
def test_other_laws(name, estimator):
    sample, exact = LAWS[name]
    error, _ = measured(name, exact(), 5, estimator, sample=sample)
    assert error <= 0.01
    if estimator == "auto":
        assert error >= -0.15


@pytest.mark.parametrize(
    ("name", "sample", "exact", "n"),
    [
        ("Gaussian, rho 0.5, 1 + 1", gaussian(0.5, 1), gaussian_mutual_information(0.5), 1000),
        ("Gaussian, rho 0.8, 1 + 1", gaussian(0.8, 1), gaussian_mutual_information(0.8), 20_000),
        ("Gaussian, rho 0.5, 5 + 5", gaussian(0.5, 5), gaussian_mutual_information(0.5, 5), 1000),
        ("Gaussian, rho 0.5, 10 + 10", gaussian(0.5, 10), gaussian_mutual_information(0.5, 10), 5000),
        ("y = x1 x2 + noise 0.3", *LAWS["y = x1 x2 + noise 0.3"], 2000),
    ],
)
def test_tables(name, sample, exact, n):
    exact = exact() if callable(exact) else exact
    table = {"x": lambda seed: sample(n, seed)[0], "y": lambda seed: sample(n, seed)[1]}
    error, _ = measured(f"{name}, table of {n:,}", exact, 5, "auto", **table)
    assert -0.2 <= error <= 0.05
