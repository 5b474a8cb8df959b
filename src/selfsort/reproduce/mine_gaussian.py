"""Mutual information of Gaussians, whose exact value is known: the book's figures, and where they end."""

import time
from functools import partial

from selfsort.reproduce.recipe import Job, Measured, Recipe, Row, Variant

_N_BINNED = 1_000_000
_NEURAL = ("auto", "dv", "nwj", "jsd", "info-nce")


def information(job: Job) -> Measured:
    """Estimate the mutual information of a Gaussian, from its law, or of a million samples where they are counted."""
    from selfsort.information.estimate import mutual_information
    from selfsort.information.gaussian import gaussian_mutual_information, gaussian_sample

    law = {key: job.params[key] for key in ("rho", "dim")}
    estimator = job.params["estimator"]
    start = time.perf_counter()
    if estimator == "binned":
        found = mutual_information(*gaussian_sample(_N_BINNED, **law, seed=job.seed), estimator)
        protocol = f"from {_N_BINNED:,} samples"
    else:
        sample = partial(_sample, **law)
        found = mutual_information(
            estimator=estimator, sample=sample, random_state=job.seed, device=job.device, progress=job.progress
        )
        protocol = f"trained on new samples in each step, valued on {found.n_samples:,} others"
    seconds = time.perf_counter() - start
    return Measured({"nats": found.value, "exact": gaussian_mutual_information(**law)}, seconds, protocol)


def _sample(n: int, seed: int, rho: float, dim: int):  # type: ignore[no-untyped-def]
    from selfsort.information.gaussian import gaussian_sample

    return gaussian_sample(n, rho, dim, seed)


def _row(rho: float, dim: int, estimator: str, published: float | None = None) -> Row:
    name = f"rho {rho:g}, {dim} dim, {estimator}"
    params = {"rho": rho, "dim": dim, "estimator": estimator}
    return Row("law", {} if published is None else {"nats": published}, name, params)


RECIPE = Recipe(
    title="Mutual information of Gaussians",
    method="mutual-information",
    data="gaussian",
    rows=(
        _row(0.5, 1, "binned", 0.146),
        _row(0.8, 1, "binned", 0.510),
        _row(0.5, 1, "dv", 0.1422),
        _row(0.8, 1, "dv"),
        *(_row(rho, 1, "auto") for rho in (0.5, 0.8)),
        *(_row(0.5, dim, estimator) for dim in (5, 10, 20) for estimator in _NEURAL),
    ),
    source="Atienza, Advanced Deep Learning with TensorFlow 2 and Keras, section 13.8: one seed",
    params={},
    full=Variant(minutes=0.2),
    cpu=Variant(minutes=0.2),
    shown=("nats", "exact"),
    measure=information,
)
