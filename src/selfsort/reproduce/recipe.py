"""What a published row is, and how it is run."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.datasets import load_dataset
from selfsort.errors import DataError
from selfsort.methods.saving import method_class
from selfsort.metrics import score_all
from selfsort.reproduce import RECIPES
from selfsort.runtime import Progress, atomic_write, n_threads, silent

#: Which samples a row is fitted on, and which it is scored on.
PROTOCOLS: Mapping[str, str] = {
    "pooled": "fitted and scored on all of train + test",
    "train-test": "fitted on train, scored on test",
    "source": "fitted on 49 % of train + test drawn at random, scored on another 21 %",
}


@dataclass(frozen=True)
class Variant:
    """One way to run a recipe: parameters beside the shared ones, and how long a seed takes.

    Attributes
    ----------
    minutes : float
        A seed's, measured: on 2 CPU cores for `Recipe.cpu`, on one data-center GPU for `Recipe.full`.
    params : mapping
        Of the estimator.
    """

    minutes: float
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A published row.

    Attributes
    ----------
    title : str
    method : str
        See `selfsort.methods.METHODS`.
    data : str
        See `selfsort.datasets.DATASETS`.
    protocols : tuple of str
        See `PROTOCOLS`.
    published : mapping of str to mapping
        Protocol -> score -> the published number, in [0, 1]; None where no one published one.
    source : str
        Where the number stands.
    params : mapping
        The estimator's, in every variant.
    full, cpu : Variant
        As published, and what fits a budget on a CPU; the same where nothing had to be given up.
    note : str
        In what ours differs from what was published.
    begins_as : str
        Name of a recipe whose training is the first stage of this one: where its result is there, that is gone on from.
    """

    title: str
    method: str
    data: str
    protocols: tuple[str, ...]
    published: Mapping[str, Mapping[str, float]]
    source: str
    params: Mapping[str, Any]
    full: Variant
    cpu: Variant
    note: str = ""
    begins_as: str = ""


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
    """Run a published row over seeds and put its number beside ours.

    Parameters
    ----------
    name : str
        See `RECIPES`.
    folder : path
        Where each seed's result is kept, and training continues if it was killed: a seed that is done is not run again.
    device : str
    budget : float, optional
        Minutes for everything. The full recipe is taken where a GPU is used and its time fits, else the CPU's; no seed
        is begun that would end after the budget.
    n_seeds : int
        Seeds 0 to n_seeds - 1.
    progress : callable
    done : callable
        Called with the row of each seed when it is there.

    Returns
    -------
    list of dict
        One row per protocol: ``published``, ``mean`` and ``std`` of each score, ``seeds``, ``seconds``, ``protocol``.
    """
    recipe = load_recipe(name)
    variant, which = _choose(recipe, device, budget, n_seeds)
    params = {**recipe.params, **variant.params}
    place = Path(folder) / f"{name}-{which}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{place} cannot be made: {error.strerror}. Give another folder with -o.") from error
    data = load_dataset(recipe.data, "all", progress=progress)
    n_train = len(load_dataset(recipe.data, "train").images) if "train-test" in recipe.protocols else 0
    began = time.monotonic()
    results = []
    for protocol in recipe.protocols:
        rows: list[dict[str, Any]] = []
        for seed in range(n_seeds):
            if budget is not None and rows and (time.monotonic() - began) / 60 + variant.minutes > budget:
                break
            row = _seed(recipe, params, protocol, seed, device, data, n_train, place, progress)
            rows.append(row)
            done(row)
        results.append(_summary(name, which, recipe, protocol, params, data.note, rows))
    with atomic_write(place / "results.json") as path:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def _choose(recipe: Recipe, device: str, budget: float | None, n_seeds: int) -> tuple[Variant, str]:
    on_gpu = device.startswith("cuda") or (device == "auto" and _has_gpu())
    needed = recipe.full.minutes * n_seeds * len(recipe.protocols)
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


def _seed(
    recipe: Recipe,
    params: Mapping[str, Any],
    protocol: str,
    seed: int,
    device: str,
    data: Any,
    n_train: int,
    place: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Run one seed, or return what it gave before."""
    path = place / f"{protocol}-{seed}.json"
    facts = {"method": recipe.method, "params": dict(params), "data": recipe.data, "protocol": protocol, "seed": seed}
    facts = json.loads(json.dumps(facts))
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {key: kept.get(key) for key in facts} == facts:
            return kept
    fitted, scored = _parts(protocol, len(data.images), n_train, seed)
    kind = method_class(recipe.method)
    trained = "device" in kind._parameter_constraints
    model = kind(**params, random_state=seed, **({"device": device} if trained else {}))
    checkpoint = place / f"{protocol}-{seed}" if trained else None
    seconds = _take_up(checkpoint, recipe.begins_as) if checkpoint is not None else 0.0
    start = time.perf_counter()
    model.fit(data.images[fitted], checkpoint=checkpoint, progress=progress)
    seconds += time.perf_counter() - start
    labels = model.labels_ if protocol == "pooled" else model.predict(data.images[scored])
    scores = score_all(data.labels[scored], labels)
    row = facts | {
        "n_fitted": len(data.images[fitted]),
        "n_scored": len(labels),
        "scores": {key: float(value) for key, value in scores.items()},
        "seconds": round(seconds, 1),
        "n_threads": n_threads(),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return row


def _take_up(checkpoint: Path, begins_as: str) -> float:
    """Return the seconds of the training that the folder holds, or gets from the recipe that this one begins as."""
    from selfsort.training.session import METRICS

    if begins_as and not checkpoint.exists():
        variant = checkpoint.parent.name.rpartition("-")[2]
        first = checkpoint.parents[1] / f"{begins_as}-{variant}" / checkpoint.name
        if (first / METRICS).exists():
            shutil.copytree(first, checkpoint)
    try:
        lines = (checkpoint / METRICS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0.0
    return float(sum(json.loads(line)["seconds"] for line in lines))


def _summary(
    name: str,
    which: str,
    recipe: Recipe,
    protocol: str,
    params: Mapping[str, Any],
    note: str,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    keys = ("acc", "nmi", "ari", "ami", "n_clusters")
    values = {key: np.array([row["scores"][key] for row in rows]) for key in keys}
    return {
        "recipe": name,
        "title": recipe.title,
        "variant": which,
        "data": recipe.data,
        "note": " ".join(part for part in (recipe.note, note) if part),
        "protocol": f"{PROTOCOLS[protocol]}: {rows[0]['n_fitted']:,} and {rows[0]['n_scored']:,} images",
        "published": dict(recipe.published.get(protocol, {})),
        "source": recipe.source,
        "params": dict(params),
        "seeds": [row["seed"] for row in rows],
        "mean": {key: round(float(value.mean()), 4) for key, value in values.items()},
        "std": {key: round(float(value.std()), 4) for key, value in values.items()},
        "worst": {key: round(float(value.min()), 4) for key, value in values.items()},
        "seconds": round(float(np.mean([row["seconds"] for row in rows])), 1),
        "n_threads": rows[0]["n_threads"],
    }
