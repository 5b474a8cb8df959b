"""What a published table is, and how its rows are measured."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.datasets import as_published, load_dataset
from selfsort.errors import DataError
from selfsort.files import atomic_write
from selfsort.methods.base import Encoded, encode_pictures
from selfsort.methods.saving import method_class
from selfsort.metrics import neighbor_purity, score_all
from selfsort.probes import knn_probe, linear_probe
from selfsort.reproduce import RECIPES
from selfsort.run_folder import seconds_trained
from selfsort.runtime import Progress, n_threads, silent

#: Which samples a row is fitted on, and which it is scored on.
PROTOCOLS: Mapping[str, str] = {
    "pooled": "fitted and scored on all of train + test",
    "train-test": "fitted on train, scored on test",
    "source": "fitted on 49 % of train + test drawn at random, scored on another 21 %",
    "law": "estimated from a law whose value is known",
}
#: Scores of a table of clusters.
CLUSTERS = ("acc", "nmi", "ari", "ami")


@dataclass(frozen=True)
class Variant:
    """One way to run a recipe: parameters beside the shared ones, and how long a seed takes.

    Attributes
    ----------
    minutes : float
        A seed's: for `Recipe.cpu` measured, on the one or two cores that its figures name; for `Recipe.full` an
        estimate for one data-center GPU.
    params : mapping
        Of the estimator.
    """

    minutes: float
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    protocol : str
        See `PROTOCOLS`.
    published : mapping of str to float
        Score -> the published number; empty where no one published one.
    name : str
        What tells it from the other rows of this protocol.
    params : mapping
        Of the estimator, beside those of the recipe and the variant.
    begins_as : str
        ``"recipe/key"`` of a row whose training is the first part of this one, or ``"recipe/key/stage"`` where only
        that stage of it is: where its result is there, that is gone on from.
    """

    protocol: str
    published: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    begins_as: str = ""

    @property
    def key(self) -> str:
        """Name of its files."""
        return re.sub(r"[^\w.]+", "-", f"{self.protocol} {self.name}".strip())


@dataclass(frozen=True)
class Recipe:
    """A published table.

    Attributes
    ----------
    title : str
    method : str
        See `selfsort.methods.METHODS`; or what `measure` measures.
    data : str
        See `selfsort.datasets.DATASETS`.
    rows : tuple of Row
    source : str
        Where the published numbers stand.
    params : mapping
        The estimator's, in every variant.
    full, cpu : Variant
        For a GPU, and what fits a budget on a CPU; the same where nothing had to be given up.
    note : str
        In what ours differs from what was published.
    encoded : bool
        Whether images, which are in color, are given as the built-in encoder's features of them.
    shown : tuple of str
        Scores that the table has.
    measure : callable
        What is measured, called with a `Job`; by default `clusters`.
    """

    title: str
    method: str
    data: str
    rows: tuple[Row, ...]
    source: str
    params: Mapping[str, Any]
    full: Variant
    cpu: Variant
    note: str = ""
    encoded: bool = False
    shown: tuple[str, ...] = CLUSTERS
    measure: Callable[[Job], Measured] | None = None


@dataclass(frozen=True)
class Job:
    """One seed of one row.

    Attributes
    ----------
    recipe : Recipe
    row : Row
    params : dict
        All of the estimator's that differ from its defaults.
    seed : int
    device : str
    folder : Path
        For checkpoints.
    progress : callable
    """

    recipe: Recipe
    row: Row
    params: Mapping[str, Any]
    seed: int
    device: str
    folder: Path
    progress: Progress = silent

    def samples(self) -> Samples:
        """Return what the row is fitted on and scored on."""
        data = load_dataset(self.recipe.data, "all", progress=self.progress)
        n_train = len(load_dataset(self.recipe.data, "train").images) if self.row.protocol == "train-test" else 0
        fitted, scored = _parts(self.row.protocol, len(data.images), n_train, self.seed)
        images, labels = data.images, np.asarray(data.labels)
        if not self.recipe.encoded:
            return Samples(images[fitted], labels[fitted], images[scored], labels[scored], data.note)
        pictures = np.ascontiguousarray(np.asarray(images).transpose(0, 2, 3, 1))
        features = encode_pictures(pictures, self.progress).features
        parts = (Encoded(features[rows], [""] * len(labels[rows])) for rows in (fitted, scored))
        return Samples(next(parts), labels[fitted], next(parts), labels[scored], data.note)

    def fit(self, images: npt.NDArray[Any] | Encoded) -> tuple[Any, float]:
        """Return the fitted estimator and the seconds that its fit took, those of a run that was stopped included."""
        kind = method_class(self.recipe.method)
        trained = "device" in kind._parameter_constraints
        model = kind(**self.params, random_state=self.seed, **({"device": self.device} if trained else {}))
        checkpoint = self.folder / f"{self.row.key}-{self.seed}" if trained else None
        seconds = _take_up(checkpoint, self.row.begins_as) if checkpoint is not None else 0.0
        start = time.perf_counter()
        model.fit(images, checkpoint=checkpoint, progress=self.progress)
        return model, seconds + time.perf_counter() - start


@dataclass(frozen=True)
class Samples:
    """Images, or their features, and labels of the two parts; labels are for scores only."""

    fitted: npt.NDArray[Any] | Encoded
    fitted_labels: npt.NDArray[np.int64]
    scored: npt.NDArray[Any] | Encoded
    scored_labels: npt.NDArray[np.int64]
    note: str


@dataclass(frozen=True)
class Measured:
    """What one seed gave.

    Attributes
    ----------
    scores : dict of str to float
    seconds : float
        Of the fit.
    protocol : str
        What was fitted and scored.
    note : str
        About the data.
    """

    scores: dict[str, float]
    seconds: float
    protocol: str
    note: str = ""


def clusters(job: Job) -> Measured:
    """Fit a method and score its clusters; with several heads also the worst of them, the mean and the best."""
    samples = job.samples()
    model, seconds = job.fit(samples.fitted)
    labels = model.labels_ if job.row.protocol == "pooled" else model.predict(samples.scored)
    scores = score_all(samples.scored_labels, labels)
    if hasattr(model, "mined_neighbors_"):
        mined = model.mined_neighbors_
        depths = [k for k in (1, 5, 20) if k <= mined.shape[1]]
        scores |= {f"mined@{k}": neighbor_purity(samples.fitted_labels, mined, k) for k in depths}
    if hasattr(model, "predict_heads"):
        of_heads = [score_all(samples.scored_labels, head)["acc"] for head in model.predict_heads(samples.scored)]
        scores |= {"worst head": min(of_heads), "mean head": float(np.mean(of_heads)), "best head": max(of_heads)}
    return Measured(
        {key: float(value) for key, value in scores.items()}, seconds, described(job, samples), samples.note
    )


def codes(job: Job) -> Measured:
    """Fit a method and score classifiers of its features, linear and by nearest neighbors, beside its clusters."""
    samples = job.samples()
    model, seconds = job.fit(samples.fitted)
    scores = score_all(samples.scored_labels, model.predict(samples.scored))
    fitted, scored = model.transform(samples.fitted), model.transform(samples.scored)
    known = fitted, samples.fitted_labels, scored, samples.scored_labels
    scores |= linear_probe(*known, seed=job.seed) | {"knn": knn_probe(*known)}
    protocol = f"{described(job, samples)}; the classifiers too"
    return Measured({key: float(value) for key, value in scores.items()}, seconds, protocol, samples.note)


def described(job: Job, samples: Samples) -> str:
    """Return the protocol of a row with its numbers of images."""
    return f"{PROTOCOLS[job.row.protocol]}: {len(samples.fitted_labels):,} and {len(samples.scored_labels):,} images"


def load_recipe(name: str) -> Recipe:
    """Return the recipe of this name.

    Raises
    ------
    DataError
        If there is none.
    """
    if name not in RECIPES:
        raise DataError(f"There is no recipe {name!r}. Choose one of: {', '.join(RECIPES)}; or `list`.")
    recipe: Recipe = importlib.import_module(RECIPES[name]).RECIPE
    return recipe


def reproduce(
    name: str,
    folder: str | Path = "reproduced",
    *,
    device: str = "auto",
    budget: float | None = None,
    n_seeds: int = 5,
    progress: Progress = silent,
    done: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Measure the rows of a published table over seeds and put its numbers beside ours.

    Parameters
    ----------
    name : str
        See `RECIPES`.
    folder : path
        Where each seed's result is kept, and training continues if it was killed: a seed that is done is not run again.
    device : str
    budget : float, optional
        Minutes for everything. The full recipe is taken where a GPU is used and its time fits, else the CPU's; no seed
        is begun that would end after the budget, by the time that a seed is known to take.
    n_seeds : int
        Seeds 0 to n_seeds - 1.
    progress : callable
    done : callable
        Called with the result of each seed when it is there.

    Returns
    -------
    list of dict
        One per row that there was time for: ``published``, ``mean``, ``std`` and ``worst`` of each score, ``seeds``,
        ``seconds``, ``protocol``.

    Raises
    ------
    DataError
        If there is no such recipe, the folder cannot be used, or the budget is less than a seed takes.
    """
    recipe = load_recipe(name)
    variant, which = _choose(recipe, device, budget, n_seeds)
    place = Path(folder) / f"{name}-{which}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{place} cannot be made: {error.strerror}. Give another folder with -o.") from error
    began = time.monotonic()
    found: dict[str, list[dict[str, Any]]] = {row.key: [] for row in recipe.rows}
    for seed, row in itertools.product(range(n_seeds), recipe.rows):  # every row has a number before one has two
        job = Job(recipe, row, _params(recipe, variant, row), seed, device, place, progress)
        result = _kept(job)
        if result is None and budget is not None and (time.monotonic() - began) / 60 + variant.minutes > budget:
            break
        found[row.key].append(result or _measured(job))
        done(found[row.key][-1] | {"row": row.key, "shown": recipe.shown})
    if not any(found.values()):
        raise DataError(
            f"A seed of {name} takes about {variant.minutes:g} minutes, more than the budget of {budget:g}. Give more "
            "minutes, or no budget."
        )
    results = [
        {"recipe": name, "variant": which} | _summary(recipe, row, _params(recipe, variant, row), found[row.key])
        for row in recipe.rows
        if found[row.key]
    ]
    with atomic_write(place / "results.json") as path:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def _params(recipe: Recipe, variant: Variant, row: Row) -> dict[str, Any]:
    return {**recipe.params, **variant.params, **row.params}


def _choose(recipe: Recipe, device: str, budget: float | None, n_seeds: int) -> tuple[Variant, str]:
    on_gpu = device.startswith("cuda") or (device == "auto" and _has_gpu())
    needed = recipe.full.minutes * n_seeds * len(recipe.rows)
    if on_gpu and (budget is None or needed <= budget):
        return recipe.full, "full"
    return recipe.cpu, "cpu"


def _has_gpu() -> bool:
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return bool(torch.cuda.is_available())


def _parts(
    protocol: str, n: int, n_train: int, seed: int
) -> tuple[npt.NDArray[np.int64] | slice, npt.NDArray[np.int64] | slice]:
    """Return which samples to fit on and which to score on."""
    if protocol == "pooled":
        return slice(None), slice(None)
    if protocol == "train-test":
        return slice(0, n_train), slice(n_train, None)
    order = np.random.default_rng(seed).permutation(n)
    n_fit, n_scored = round(0.49 * n), round(0.21 * n)
    return np.sort(order[:n_fit]), np.sort(order[n_fit : n_fit + n_scored])


def _kept(job: Job) -> dict[str, Any] | None:
    """Return what a seed gave before, if it was run."""
    path, facts = _result(job)
    if not path.exists():
        return None
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept if {key: kept.get(key) for key in facts} == facts else None


def _measured(job: Job) -> dict[str, Any]:
    """Run a seed and keep what it gives."""
    path, facts = _result(job)
    measured = (job.recipe.measure or clusters)(job)
    result = facts | {
        "measured": measured.protocol,
        "note": measured.note,
        "scores": measured.scores,
        "seconds": round(measured.seconds, 1),
        "n_threads": n_threads(),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _result(job: Job) -> tuple[Path, dict[str, Any]]:
    """Return the file of a seed's result, and what it depends on."""
    facts: dict[str, Any] = {"method": job.recipe.method, "params": dict(job.params), "data": job.recipe.data}
    facts |= {
        "protocol": job.row.protocol,
        "seed": job.seed,
        "as_published": as_published(job.recipe.data, job.progress),
    }
    return job.folder / f"{job.row.key}-{job.seed}.json", json.loads(json.dumps(facts))


def _take_up(checkpoint: Path, begins_as: str) -> float:
    """Return the seconds of the training that the folder holds, or gets from the row that this one begins as."""
    from selfsort.training.session import take_up

    if begins_as and not checkpoint.exists():
        variant, seed = (path.name.rpartition("-")[2] for path in (checkpoint.parent, checkpoint))
        recipe, key, *stage = begins_as.split("/")
        take_up(checkpoint.parents[1] / f"{recipe}-{variant}" / f"{key}-{seed}", checkpoint, *stage)
    return seconds_trained(checkpoint)


def _summary(recipe: Recipe, row: Row, params: Mapping[str, Any], seeds: list[dict[str, Any]]) -> dict[str, Any]:
    values = {key: np.array([seed["scores"][key] for seed in seeds]) for key in seeds[0]["scores"]}
    return {
        "title": recipe.title,
        "row": row.name,
        "data": recipe.data,
        "data_note": seeds[0]["note"],
        "note": recipe.note,
        "protocol": seeds[0]["measured"],
        "published": dict(row.published),
        "source": recipe.source,
        "shown": list(recipe.shown),
        "params": dict(params),
        "seeds": [seed["seed"] for seed in seeds],
        "mean": {key: round(float(value.mean()), 4) for key, value in values.items()},
        "std": {key: round(float(value.std()), 4) for key, value in values.items()},
        "worst": {key: round(float(value.min()), 4) for key, value in values.items()},
        "seconds": round(float(np.mean([seed["seconds"] for seed in seeds])), 1),
        "n_threads": seeds[0]["n_threads"],
    }
