"""The commands that choose without labels: ``choose-k``, how many clusters there are, and ``choose-run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfsort.cli.output import PATH, check_file, emit, json_option, progress_bar, shown, write_file
from selfsort.errors import DataError
from selfsort.runtime import Progress

if TYPE_CHECKING:
    from selfsort.choosing import KChoice
    from selfsort.features.project import FloatArray

_BAR = 40  # characters of a stability of 1


@click.command("choose-k")
@click.argument("data")
@click.option("--k", "numbers", metavar="NUMBERS", help="Numbers to try, such as 2-40 or 5,10,20.  [default: found]")
@click.option("--split", metavar="NAME", help="Part of a known set: train, test, ...  [default: all of it]")
@click.option("--pixels", type=int, metavar="SIZE", help="Compare pictures by their pixels, scaled to SIZE x SIZE.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything that is random.")
@click.option("-o", "--output", type=PATH, metavar="PNG", help="Where to draw the curve.")
@json_option
def choose_k(
    data: str,
    numbers: str | None,
    split: str | None,
    pixels: int | None,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Find how many clusters there are in DATA, with an interval, or that there is no clear answer.

    DATA is a known set (digits, mnist, ...), which is compared by its pixels; a folder, archive or list of own
    pictures, compared by the built-in encoder's features unless --pixels is given; or a run folder, compared by the
    features that its method learned. Fifths are left out at random, again and again: at the right number the rest is
    divided the same each time.
    """
    from selfsort.choosing import choose_k as choose

    check_file(output)
    tried = None if numbers is None else _numbers(numbers)
    with progress_bar() as progress:
        title, vectors = _vectors(data, split, pixels, progress)
        found = choose(vectors, tried, seed=seed, progress=progress)
    curves = ("ks", "stability", "low", "high", "modularity")
    facts: dict[str, Any] = {"data": title, "n": len(vectors), "k": found.k, "interval": list(found.interval)}
    facts |= {"best": found.best, "reason": found.reason, "seed": seed}
    facts |= {name: getattr(found, name).tolist() for name in curves}
    if output is not None:
        _draw(output, found, f"{title}, {len(vectors):,} samples")
        facts["figure"] = str(output)
    emit(facts, lambda: _text(found, facts), as_json=as_json)


@click.command("choose-run")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN RUN...", type=PATH)
@json_option
def choose_run(runs: tuple[Path, ...], as_json: bool) -> None:
    """Tell which of three or more runs on the same samples agrees best with the others.

    That is most often one of the better ones, if the runs differ: in their methods, seeds and numbers of clusters.
    Samples are matched by path and content; those that not all runs have are left out. Groups are as each run found
    them: corrections do not count.
    """
    import numpy as np

    from selfsort.choosing import consensus
    from selfsort.clusters import Clusters

    if len(runs) < 3:
        raise DataError(f"It takes three runs or more to tell which agrees best: got {len(runs)}. Give more.")
    if len({run.resolve() for run in runs}) < len(runs):
        raise DataError("One run is given twice. Give each once: it would agree with itself.")
    found = [Clusters.load(run) for run in runs]
    samples = [zip(run.items["path_bytes"].to_pylist(), run.items["id"].to_pylist(), strict=True) for run in found]
    rows = [{sample: row for row, sample in enumerate(of_run)} for of_run in samples]
    shared = [sample for sample in rows[0] if all(sample in of for of in rows)]
    if not shared:
        raise DataError("No sample is in all of these runs. Give runs on the same samples.")
    labels = [run.labels[[of[sample] for sample in shared]] for run, of in zip(found, rows, strict=True)]
    scores = consensus(labels)
    table: list[dict[str, Any]] = [
        {"run": str(path), "method": run.run["method"], "n_clusters": len(set(of[of >= 0])), "consensus": float(score)}
        for path, run, of, score in zip(runs, found, labels, scores, strict=True)
    ]
    best = str(runs[int(np.argmax(scores))])
    facts = {"n": len(shared), "runs": table, "best": best}

    def text() -> str:
        width = max(len(shown(row["run"])) for row in table)
        lines = [f"{len(shared):,} samples", f"  {'run':<{width}}  method        clusters  consensus"]
        for row in sorted(table, key=lambda row: -row["consensus"]):
            cells = f"{row['method']:<12}  {row['n_clusters']:>8}  {row['consensus']:>9.3f}"
            lines.append(f"  {shown(row['run']):<{width}}  {cells}")
        return "\n".join([*lines, f"{shown(best)} agrees best with the others."])

    emit(facts, text, as_json=as_json)


def _numbers(text: str) -> list[int]:
    """Read numbers and ranges of them, separated by commas."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise DataError(f"--k takes numbers and ranges, such as 2-40 or 5,10,20: got {text!r}.")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers:
            raise DataError(f"A range of --k goes from its smaller to its larger number: got {part.strip()!r}.")
        found += numbers
    return found


def _vectors(data: str, split: str | None, pixels: int | None, progress: Progress) -> tuple[str, FloatArray]:
    """Return what the data are called, and what they are compared by."""
    import numpy as np

    from selfsort.clusters import Clusters
    from selfsort.features.layers import prepare_as_run
    from selfsort.features.project import prepare
    from selfsort.learn.samples import read_samples
    from selfsort.methods.base import Encoded
    from selfsort.methods.saving import ARRAYS

    if (Path(data) / "run.json").is_file():
        if split is not None or pixels is not None:
            raise DataError("A run has its own features: leave out --split and --pixels.")
        run = Clusters.load(data)
        if run.embedding is None:
            raise DataError(f"{data} holds no features. Give a run of a method that learns some, or the pictures.")
        read = run.embedding[np.asarray(run.items["status"]) == "ok"].astype(np.float32)
        learned = (Path(data) / ARRAYS).is_file()  # else they are as the encoder gives them
        return f"{shown(Path(data).name)}, features", read if learned else prepare_as_run(read, run.run)(read)
    samples = read_samples(data, split, pixels, progress=progress)
    values = samples.values
    if isinstance(samples.X, Encoded):
        return shown(str(samples.facts["data"]["name"])), prepare(values)(values)
    return shown(str(samples.facts["data"]["name"])), values.reshape(len(values), -1).astype(np.float32)


def _text(found: KChoice, facts: dict[str, Any]) -> str:
    lines = [f"{facts['data']}, {facts['n']:,} samples", f"  {'k':>5}  {'stability':<16}"]
    for k, value, high in zip(found.ks, found.stability, found.high, strict=True):
        bar = "#" * round(_BAR * max(0.0, value))
        mark = " <" if k == found.best else ""
        lines.append(f"  {k:>5}  {value:.3f} ± {high - value:.3f}   {bar}{mark}")
    low, high_k = found.interval
    if found.k is None:
        lines.append(f"No clear answer: {found.reason}.")
    else:
        also = f"{low} to {high_k} are about as stable" if high_k > low else "no other number is as stable"
        lines.append(f"{found.k} clusters; {also}.")
    return "\n".join(lines + ([f"The curve: {shown(facts['figure'])}"] if "figure" in facts else []))


def _draw(path: Path, found: KChoice, title: str) -> None:
    from selfsort.curves import stability_png

    write_file(path, stability_png(found, title))
