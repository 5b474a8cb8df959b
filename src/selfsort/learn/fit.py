"""Fit a method and write its run folder; a fit that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import inspect
import json
import operator
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfsort import __version__
from selfsort.arguments import FLAG, MAPPING, PATH, PROGRESS, TEXT, checked, meant, optional
from selfsort.clusters import Clusters, items_table
from selfsort.errors import DataError
from selfsort.evaluation import FOLDERS, Labels, check_labels, read_labels
from selfsort.files import read_sealed, write_sealed
from selfsort.learn.result import build_clusters
from selfsort.learn.samples import Samples, known_set, read_samples
from selfsort.methods.saving import load_model, method_class, plain_params, save_model
from selfsort.pixels import Preprocessing
from selfsort.progress import reporting
from selfsort.publish import (
    JOB,
    check_origin,
    check_target,
    digest_of_labels,
    publish,
    score,
    unchanged,
    workplace,
    workplace_of,
)
from selfsort.run_folder import METRICS, SCHEMA_VERSION, json_bytes, seconds_trained
from selfsort.runtime import Clock, Progress, n_threads

if TYPE_CHECKING:
    from selfsort.methods.base import SelfsortClusterer

#: Raise when the same model would give another record: runs are then made anew.
_VERSION = 3
_JOB_VERSION = 1
_MUCH = 60  # seconds of training that are not replaced by those of another fit
_PACKAGES = ("numpy", "scikit-learn", "scikit-network", "faiss-cpu")
_TRAINING_PACKAGES = ("torch", "lightning-fabric")


@checked(
    method=TEXT,
    output=optional(PATH),
    params=optional(MAPPING),
    split=optional(TEXT),
    replace=FLAG,
    progress=PROGRESS,
)
def fit(
    method: str,
    data: Any,
    output: str | Path | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    split: str | None = None,
    pixels: int | None = None,
    labels: Labels | None = None,
    seed: int = 0,
    replace: bool = False,
    progress: Progress | bool | None = None,
) -> Clusters:
    """Fit a method to pictures and write a run folder with the model in it.

    Parameters
    ----------
    method : str
        One of `selfsort.methods.METHODS`.
    data : str, path, sequence or ndarray
        The name of a known set, which is compared by its pixels; an array, see `selfsort.load_dataset`; or own pictures
        (a folder, archive or list), compared by the default encoder's features.
    output : path, optional
        The run folder to write. One that holds an earlier run is replaced as a whole, and only when the new run is
        complete; if nothing has changed, it is returned as it is. Without it the result stays in memory, and the model
        and a fit that is stopped are lost.
    params : mapping, optional
        Of the estimator; `random_state` is the seed.
    split : str, optional
        Of a known set.
    pixels : int, optional
        Side of the squares that pictures are scaled to; own pictures are then compared by their pixels.
    labels : "folders", path of a CSV file, or array, optional
        Labels to score the groups with when they are done (see `selfsort.evaluation.read_labels`); they steer nothing.
        Known sets bring their own.
    seed : int
    replace : bool
        Whether a run of other data, or of another method, may be replaced.
    progress : callable or bool, optional
        Called as ``progress(stage, done, total)``. True shows a bar, False nothing; by default there is a bar in
        terminals and notebooks.

    Returns
    -------
    Clusters

    Raises
    ------
    DataError
        If a name, parameter, label source or the data cannot work, or `output` cannot be used: before work starts.

    Examples
    --------
    >>> import numpy as np, selfsort
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + np.random.default_rng(0).normal(size=(150, 3))
    >>> selfsort.fit("kmeans", X, params={"n_clusters": 3}).run["n_groups"]
    3
    """
    with reporting(progress) as report:
        return _fit(method, data, output, params, split, pixels, labels, seed, replace, report)


def _fit(
    method: str,
    data: Any,
    output: str | Path | None,
    params: Mapping[str, Any] | None,
    split: str | None,
    pixels: int | None,
    labels: Labels | None,
    seed: int,
    replace: bool,
    progress: Progress,
) -> Clusters:
    seed = _whole("The seed", seed)
    pixels = Preprocessing(_whole("The number of pixels", pixels)).size if pixels is not None else None
    params = _absolute(method, params)
    model = _make_model(method, params, seed)
    target = None
    if output is not None:
        check_target(Path(output))
        target = Path(output).resolve()  # what a link points to is replaced, not the link
        _check_paths(method, params, target)
    if labels is not None:
        check_labels(labels)
    clock = Clock()
    job = _job(method, data, params, split, pixels, labels, seed)
    stopped = _stopped(target, job)
    with workplace(target) as work, _recorded_warnings() as caught:
        if work is not None and not stopped:
            write_sealed(work / JOB, json_bytes(job))
        samples = read_samples(data, split, pixels, progress=progress)
        if pixels is not None and params.get("pretext") is not None:
            samples.in_colors_of(load_model(params["pretext"]).image_shape_)
        clock("data")
        labels = samples.labels if labels is None else labels
        if labels is not None:
            read_labels(labels, _nothing_yet(samples))  # before work starts: do they belong to these pictures at all?
        facts = _facts(model, method, seed, samples)
        if target is not None and not replace:
            check_origin(target, facts, {item["path_bytes"]: item["size"] for item in samples.items})
        given = facts["params"] | {"device": None}
        fit_digest = _digest(_VERSION, method, given, seed, samples.fingerprint(), *model._inputs())
        facts["fingerprint"] = _digest(fit_digest, digest_of_labels(labels))
        if target is not None and (same := unchanged(target, facts["fingerprint"])) is not None:
            return same
        if work is not None:
            write_sealed(work / JOB, json_bytes(job))  # only now in the place of another: this one can work
        model.fit(samples.X, checkpoint=work / f"fit-{fit_digest}" if work is not None else None, progress=progress)
        clock("fit")
        clusters = build_clusters(model, samples, facts, clock, progress)
        clusters.run |= _after(model, clock) | {"warnings": samples.warnings + _texts(caught)}
        figure = score(clusters, labels) if labels is not None else None
        if target is not None and work is not None:
            progress("report", 0, None)
            publish(clusters, figure, work, target, clock, write_more=lambda folder: save_model(model, folder))
    return clusters


@checked(run=PATH, progress=PROGRESS)
def resume(run: str | Path, progress: Progress | bool | None = None) -> Clusters:
    """Go on with a fit that was stopped before its run was complete.

    Parameters
    ----------
    run : path
        The run folder that it was to write.
    progress : callable

    Returns
    -------
    Clusters
        If the run is complete already, as it is.

    Raises
    ------
    DataError
        If no fit was stopped there, or one of arrays, which are not kept.
    """
    job = unfinished(run)
    if job is None:
        if (Path(run) / "run.json").exists():
            return Clusters.load(run)
        raise DataError(
            f"There is nothing to resume at {run}: no fit was stopped there, or nothing of it was kept. Run "
            "`selfsort fit` again."
        )
    if job["data"] is None:
        raise DataError(
            f"The fit at {run} was of an array, which is not kept: call fit again with the same array and parameters, "
            "and it goes on."
        )
    options = {name: job[name] for name in ("params", "split", "pixels", "labels", "seed")}
    return fit(job["method"], job["data"], run, **options, replace=True, progress=progress)


def unfinished(run: str | Path) -> dict[str, Any] | None:
    """Return what was asked for by a fit that was stopped before the run was complete, or None if there was none."""
    path = workplace_of(Path(run).resolve()) / JOB
    try:
        job = json.loads(read_sealed(path))
        if job["schema"] > _JOB_VERSION:
            raise DataError(f"{path} was written by a newer selfsort. Update selfsort, then resume.")
        expected = {"method", "data", "params", "split", "pixels", "labels", "seed"}
        return {name: job[name] for name in expected}
    except FileNotFoundError:
        return None
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Run the same `selfsort fit` command again.") from error


def _make_model(method: str, params: Mapping[str, Any] | None, seed: int) -> SelfsortClusterer:
    """Return the unfitted estimator; names and values of its parameters are checked."""
    kind = method_class(method)
    given = dict(params or {})
    names = [name for name in inspect.signature(kind).parameters if name != "random_state"]
    if "random_state" in given:
        raise DataError("random_state is the seed of the whole fit. Pass seed instead.")
    if unknown := sorted(given.keys() - names):
        raise DataError(
            f"{method} has no parameter {unknown[0]!r}.{meant(unknown[0], names)} It has: {', '.join(names)}."
        )
    if not 0 <= seed < 2**32:
        raise DataError(f"The seed must be from 0 to 4294967295: got {seed}.")
    model = kind(**given, random_state=seed)
    try:
        model._validate_params()
    except ValueError as error:
        raise DataError(str(error)) from error
    return model


def _absolute(method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters with absolute paths, for a resume from wherever it is called."""
    paths = _of_paths(method)
    return {
        name: os.path.abspath(value) if name in paths and isinstance(value, (str, os.PathLike)) else value  # noqa: PTH100
        for name, value in (params or {}).items()
    }


def _of_paths(method: str) -> set[str]:
    """Return the names of a method's parameters that are paths."""
    return {name for name, allowed in method_class(method)._parameter_constraints.items() if Path in allowed}


def _check_paths(method: str, params: Mapping[str, Any], target: Path) -> None:
    """Refuse to replace a run that the fit goes on from."""
    for name in _of_paths(method) & params.keys():
        if params[name] is not None and Path(params[name]).resolve() == target:
            raise DataError(f"{name}={str(params[name])!r} is the run that would be replaced. Give another with -o.")


def _stopped(target: Path | None, job: dict[str, Any]) -> bool:
    """Return whether a fit with other settings was stopped beside the target, whose training goes if this one ends.

    Raises
    ------
    DataError
        If it was trained for longer than somebody would like to lose.
    """
    if target is None:
        return False
    other = None
    with contextlib.suppress(DataError):  # of a record that is damaged nothing can be gone on with
        other = unfinished(target)
    if other is None or other == {name: job[name] for name in other}:
        return False
    work, trained = workplace_of(target), 0.0
    for metrics in work.glob(f"fit-*/{METRICS}"):
        with contextlib.suppress(OSError, ValueError, KeyError):  # damaged
            trained += seconds_trained(metrics.parent)
    if trained >= _MUCH:
        raise DataError(
            f"What another fit, of {other['method']}, learned in {trained:,.0f} s before it was stopped is kept for "
            f"{target.name}. Go on with it: selfsort resume {shlex.quote(target.name)}; or give another folder with "
            f"-o; or give it up: remove {work}."
        )
    return any(work.glob("fit-*"))


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise DataError(f"{name} must be a whole number: got {value!r}.") from error


def _job(
    method: str,
    data: Any,
    params: Mapping[str, Any] | None,
    split: str | None,
    pixels: int | None,
    labels: Labels | None,
    seed: int,
) -> dict[str, Any]:
    """Return what `resume` needs as JSON can hold it; where there are arrays it has no data."""
    of_folders = isinstance(labels, str) and labels == FOLDERS
    place = FOLDERS if of_folders else _place(labels)
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in (params or {}).items()}
    return {
        "schema": _JOB_VERSION,
        "selfsort": __version__,
        "method": method,
        "data": _place(data) if labels is None or place is not None else None,
        "params": plain,
        "split": split,
        "pixels": pixels,
        "labels": place,
        "seed": seed,
    }


def _place(data: Any) -> str | list[str] | None:
    """Return a name or absolute paths; None for what is only in memory."""
    if known_set(data):
        return str(data)
    if isinstance(data, (str, bytes, os.PathLike)):
        return os.path.abspath(os.fsdecode(data))  # noqa: PTH100  (links keep their names)
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], (str, bytes, os.PathLike)):
        return [os.path.abspath(os.fsdecode(path)) for path in data]  # noqa: PTH100
    return None


def _digest(*facts: Any) -> str:
    import xxhash

    return xxhash.xxh3_128_hexdigest(json.dumps(facts, sort_keys=True, default=str).encode())


def _nothing_yet(samples: Samples) -> Clusters:
    """Return the run as it is before anything was grouped."""
    n = len(samples.items)
    none = np.full((n, 1), -1, np.int32)
    run = {"level": 0, "root": samples.facts["root"]}
    return Clusters(run, items_table(samples.items), none, np.zeros(n, np.float32), none)


def _facts(model: SelfsortClusterer, method: str, seed: int, samples: Samples) -> dict[str, Any]:
    params = plain_params(model)
    del params["random_state"]
    return {
        "schema": SCHEMA_VERSION,
        "selfsort": __version__,
        "method": method,
        "params": params,
        "seed": seed,
        **samples.facts,
    }


def _after(model: SelfsortClusterer, clock: Clock) -> dict[str, Any]:
    """Return what is known when training is done."""
    history = getattr(model, "history_", [])
    packages = _PACKAGES + (_TRAINING_PACKAGES if history else ())
    # a fit that was stopped has spent more than this process did
    clock.seconds["fit"] = max(clock.seconds["fit"], round(sum(row["seconds"] for row in history), 3))
    used = {name: getattr(model, f"{name}_") for name in ("device", "precision") if hasattr(model, f"{name}_")}
    return used | {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": clock.seconds,
        "n_threads": n_threads(),
        "versions": {package: metadata.version(package) for package in packages},
    }


@contextlib.contextmanager
def _recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Yield a list that the block's warnings go to; at its end each is given to the caller, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    for warning in {str(warning.message): warning for warning in caught}.values():
        warnings.warn(warning.message, warning.category, stacklevel=4)


def _texts(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return what was warned of, without what only programmers want to know."""
    return list(dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)))
