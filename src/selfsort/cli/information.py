"""The command that estimates mutual information: ``mi``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfsort.cli.output import PATH, check_file, emit, json_option, progress_bar, shown, write_file
from selfsort.errors import DataError
from selfsort.runtime import Progress

if TYPE_CHECKING:
    from selfsort.information.estimate import MutualInformation

_SAMPLES = 200_000


@click.command()
@click.option("--rho", type=float, help="Correlation of a Gaussian x and y, whose exact value is known.")
@click.option("--dim", type=int, help="With --rho: coordinates of x, and of y.  [default: 1]")
@click.option("--samples", type=int, help=f"With --rho: how many the value is computed on.  [default: {_SAMPLES:,}]")
@click.option("--csv", "table", type=PATH, metavar="FILE", help="An own table, with a header.")
@click.option("--x", "x", multiple=True, metavar="NAMES", help="With --csv: columns of x, separated by commas.")
@click.option("--y", "y", multiple=True, metavar="NAMES", help="With --csv: columns of y, separated by commas.")
@click.option(
    "--estimator",
    "estimators",
    multiple=True,
    metavar="NAMES",
    help="auto, dv, nwj, jsd, info-nce or binned; several separated by commas.  [default: auto, and binned where x and "
    "y are one column each]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that is random.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("-o", "--output", type=PATH, metavar="PNG", help="Where to draw the learning curves.")
@json_option
def mi(
    rho: float | None,
    dim: int | None,
    samples: int | None,
    table: Path | None,
    x: tuple[str, ...],
    y: tuple[str, ...],
    estimators: tuple[str, ...],
    seed: int,
    device: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Estimate the mutual information of columns of a table, or of a Gaussian, in nats.

    Every estimator but binned trains a network on some of the samples and computes a lower bound on others. The
    interval is that of the samples it was computed on; it does not cover how far the bound is below the mutual
    information.
    """
    if (rho is None) == (table is None):
        raise click.UsageError("Give either --rho, for a Gaussian, or --csv with --x and --y, for a table.")
    if table is None and (x or y):
        raise click.UsageError("--x and --y name columns of a table: give it with --csv.")
    check_file(output)
    names = _names(x), _names(y)
    if table is not None and (samples is not None or dim is not None or not all(names)):
        raise click.UsageError("With --csv, name the columns with --x and --y; all rows are used.")
    exact, n_columns, what, data = (
        _gaussian(rho, 1 if dim is None else dim, _SAMPLES if samples is None else samples)
        if rho is not None
        else _columns(table, *names)
    )
    chosen = _chosen(_names(estimators), n_columns, output)
    with progress_bar() as progress:
        found = {name: _estimate(name, data, seed, device, progress) for name in chosen}
    results = [_facts(estimate, seconds, exact) for estimate, seconds in found.values()]
    facts: dict[str, Any] = {"data": what, "exact": exact, "seed": seed, "estimates": results}
    if output is not None:
        _draw(output, [estimate for estimate, _ in found.values()], exact)
        facts["figure"] = str(output)
    emit(facts, lambda: _text(facts), as_json=as_json)


_Data = tuple[float | None, int, str, dict[str, Any]]


def _gaussian(rho: float, dim: int, samples: int) -> _Data:
    from selfsort.information.gaussian import gaussian_mutual_information, gaussian_sample

    exact = gaussian_mutual_information(rho, dim)
    what = f"Gaussian, rho {rho:g}, {dim} + {dim} columns"
    sample: Callable[[int, int], Any] = lambda n, seed: gaussian_sample(n, rho, dim, seed)  # noqa: E731
    return exact, dim, what, {"sample": sample, "n_samples": samples}


def _columns(table: Path | None, x: list[str], y: list[str]) -> _Data:
    from selfsort.information.table import read_columns

    assert table is not None
    twice = sorted(set(x) & set(y))
    if twice:
        raise DataError(f"The column {twice[0]!r} is in both x and y, which share all of it. Name it once.")
    columns = read_columns(table, [*x, *y])
    what = f"{shown(str(table))}, {len(columns):,} rows: {shown(', '.join(x))} and {shown(', '.join(y))}"
    return None, max(len(x), len(y)), what, {"x": columns[:, : len(x)], "y": columns[:, len(x) :]}


def _chosen(names: list[str], n_columns: int, output: Path | None) -> list[str]:
    """Return the estimators to run; say before the first of them what one of them cannot do."""
    estimators = _information().ESTIMATORS
    chosen = list(dict.fromkeys(names)) or ([] if n_columns > 1 else ["binned"]) + ["auto"]
    for name in chosen:
        if name not in estimators:
            raise DataError(f"There is no estimator {name!r}. Choose: {', '.join(estimators)}.")
    if n_columns > 1 and "binned" in chosen:
        raise DataError("Bins work for one column of x and one of y. Leave out binned, or name fewer columns.")
    if output is not None and chosen == ["binned"]:
        raise DataError("There is no learning curve to draw: bins are counted, not trained. Leave out -o.")
    return chosen


def _information() -> Any:
    try:
        from selfsort.information import estimate
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "lightning_fabric"):
            raise
        raise DataError("Networks estimate the information. Install: pip install 'selfsort[learn]'.") from error
    return estimate


def _names(options: tuple[str, ...]) -> list[str]:
    return [name.strip() for option in options for name in option.split(",") if name.strip()]


def _estimate(
    name: str, data: dict[str, Any], seed: int, device: str, progress: Progress
) -> tuple[MutualInformation, float]:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are part of the result
        found = _information().mutual_information(
            **data,
            estimator=name,
            random_state=seed,
            device=device,
            progress=lambda stage, done, total: progress(f"{name}: {stage}", done, total),
        )
    return found, time.perf_counter() - start


def _facts(found: MutualInformation, seconds: float, exact: float | None) -> dict[str, Any]:
    keys = ("estimator", "value", "low", "high", "n_samples", "note")
    facts = {key: getattr(found, key) for key in keys} | {"warnings": list(found.warnings)}
    if exact:
        facts["relative_error"] = found.value / exact - 1
    return facts | {"seconds": round(seconds, 2)}


def _text(facts: dict[str, Any]) -> str:
    exact = facts["exact"]
    lines = [facts["data"], f"  {'estimator':<10}{'nats':>9}  {'95 % interval':<19}{'samples':>11}{'seconds':>9}"]
    if exact is not None:
        lines.append(f"  {'exact':<10}{exact:>9.5f}")
    for row in facts["estimates"]:
        interval = f"{row['low']:.5f} to {row['high']:.5f}"
        line = f"  {row['estimator']:<10}{row['value']:>9.5f}  {interval:<19}"
        line += f"{row['n_samples']:>11,}{row['seconds']:>9.1f}"
        lines.append(line + (f"   {row['relative_error']:+.1%}" if "relative_error" in row else ""))
    for row in facts["estimates"]:
        lines.append(f"{row['estimator']}: {row['note']}")
        lines += [f"Warning, {row['estimator']}: {reason}" for reason in row["warnings"]]
    return "\n".join(lines + ([f"learning curves: {shown(facts['figure'])}"] if "figure" in facts else []))


def _draw(path: Path, found: list[MutualInformation], exact: float | None) -> None:
    from selfsort.curves import learning_curves_png

    rows = [
        {"stage": estimate.estimator, "epoch": int(step), "bound on samples not trained on, nats": max(0.0, value)}
        for estimate in found
        for step, value in estimate.curve
    ]
    write_file(path, learning_curves_png(rows, unit="step", exact=exact))
