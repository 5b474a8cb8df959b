"""Commands that turn a method into a run: ``methods``, ``fit``, ``resume``, ``predict``."""

from __future__ import annotations

import ast
import csv
import importlib.util
import io
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfsort.cli.organize import scored, stem
from selfsort.cli.output import (
    PATH,
    check_file,
    emit,
    harmless,
    interrupted,
    json_option,
    progress_bar,
    quoted,
    shown,
    write_file,
)
from selfsort.dates import noted
from selfsort.runtime import Progress, counted

if TYPE_CHECKING:
    from selfsort.clusters import Clusters

_SPLIT = click.option("--split", metavar="NAME", help="Part of a known set: train, test, ...  [default: all of it]")


@click.command()
@click.argument("name", required=False)
@json_option
def methods(name: str | None, as_json: bool) -> None:
    """List the methods; with a NAME, its parameters with their defaults and what they may be."""
    from selfsort.methods import METHODS

    if name is None:
        lines = {method: _first_line(target) for method, target in METHODS.items()}
        width = max(map(len, lines))
        emit(lines, "\n".join(f"{method:<{width}}  {line}" for method, line in lines.items()), as_json=as_json)
        return
    from selfsort.cli.parameters import parameters
    from selfsort.methods.saving import method_class

    found = parameters(method_class(name))
    page = f"docs/methods/{name}.md"
    facts = {
        "method": name,
        "about": _first_line(METHODS[name]),
        "parameters": {key: {"default": default, "allowed": words} for key, (default, words) in found.items()},
        "page": page,
    }

    def text() -> str:
        rows = [(key, _as_set(default), words) for key, (default, words) in found.items()]
        wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [f"{name}: {facts['about']}", "", "Parameters, their defaults and what they may be:"]
        lines += [f"  {key:<{wide[0]}}  {default:<{wide[1]}}  {words}" for key, default, words in rows]
        return "\n".join([*lines, "", f"Set them with --set name=value. More in the source: {page}"])

    emit(facts, text, as_json=as_json)


def _first_line(target: str) -> str:
    """Return the first line of a class's docstring from its source: importing it may take seconds, and torch."""
    module, name = target.split(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return (ast.get_docstring(found) or "").partition("\n")[0].replace("`", "")


def _as_set(value: Any) -> str:
    """Return a value as ``--set`` takes it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


@click.command()
@click.argument("method")
@click.argument("data")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="RUN",
    help="Run folder to write.  [default: DATA-METHOD.selfsort in the current folder]",
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the method, see selfsort methods."
)
@_SPLIT
@click.option("--pixels", type=int, metavar="SIZE", help="Compare pictures by their pixels, scaled to SIZE x SIZE.")
@click.option("--labels", metavar="CSV|folders", help="Labels to score own pictures' groups with; they steer nothing.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that is random.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps; short for --set device=NAME.")
@click.option("--replace", is_flag=True, help="Give up a run of other data or another method that is there.")
@click.option(
    "--pretext",
    type=PATH,
    metavar="RUN",
    help="Go on from the encoder of another run, such as one of simclr; short for --set pretext=RUN.",
)
@json_option
def fit(
    method: str,
    data: str,
    output: Path | None,
    settings: tuple[str, ...],
    split: str | None,
    pixels: int | None,
    labels: str | None,
    seed: int,
    device: str | None,
    replace: bool,
    pretext: Path | None,
    as_json: bool,
) -> None:
    """Fit METHOD to DATA and write a run folder with a page and the model.

    DATA is a known set (digits, mnist, fashion-mnist, cifar-10, ...), which is compared by its pixels, or a folder,
    archive or list of own pictures, which are compared by the built-in encoder's features unless --pixels is given.
    A fit that was stopped goes on with the same command, or with selfsort resume.
    """
    from selfsort.cli.parameters import parse
    from selfsort.learn.fit import fit as run
    from selfsort.learn.samples import known_set
    from selfsort.methods.saving import method_class

    short = {"device": device, "pretext": pretext}
    pairs = [*settings, *(f"{key}={value}" for key, value in short.items() if value is not None)]
    params = parse(method_class(method), method, pairs)
    name = known_set(data)
    parts = [name or stem(Path(data)), *([split] if split and name else []), method]
    target = output or Path(f"{'-'.join(parts)}.selfsort")
    options: dict[str, Any] = {"params": params, "split": split, "pixels": pixels, "labels": labels, "seed": seed}
    with _stoppable(target) as progress:
        clusters = run(method, name or data, target, **options, replace=replace, progress=progress)
    emit(_result(clusters), lambda: _summary(clusters), as_json=as_json)


@click.command()
@click.argument("run", type=PATH, metavar="RUN")
@json_option
def resume(run: Path, as_json: bool) -> None:
    """Go on with the fit that was to write RUN and was stopped."""
    from selfsort.learn.fit import resume as go_on
    from selfsort.learn.fit import unfinished

    complete = unfinished(run) is None
    with _stoppable(run) as progress:
        clusters = go_on(run, progress)

    def text() -> str:
        return f"{shown(str(run))} is complete; there is nothing to resume." if complete else _summary(clusters)

    emit(_result(clusters) | {"resumed": not complete}, text, as_json=as_json)


@contextmanager
def _stoppable(run: Path) -> Iterator[Progress]:
    """Show progress; say after Ctrl-C how to go on. Warnings are part of the result, not printed on the way."""
    from selfsort.learn.fit import unfinished

    try:
        with progress_bar() as progress, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield progress
    except KeyboardInterrupt:
        interrupted(f"run selfsort resume {quoted(run)}" if unfinished(run) else "run the same command again")


def _result(clusters: Clusters) -> dict[str, Any]:
    facts = clusters.run
    keys = ("method", "n_items", "n_ok", "n_groups", "seconds", "warnings", "scores", "protocol")
    return {
        "run": str(clusters.path),
        "report": str(clusters.path / "report.html") if clusters.path else None,
        "model": str(clusters.path / "model.safetensors") if clusters.path else None,
        "unchanged": clusters.unchanged,
        **{key: facts[key] for key in keys if key in facts},
    }


def _summary(clusters: Clusters) -> str:
    facts, path = clusters.run, clusters.path
    unread = facts["n_items"] - facts["n_ok"]
    parts = [f"{facts['n_ok']:,} samples in {facts['n_groups']} groups by {facts['method']}"]
    parts += [f"{unread} files could not be read"] if unread else []
    if clusters.unchanged:
        lines = [f"Nothing has changed since {noted(facts['created'])}: {', '.join(parts)}."]
    else:
        lines = [", ".join(parts) + f" ({sum(facts['seconds'].values()):.0f} s)."]
    lines += [f"Warning: {shown(warning)}" for warning in facts["warnings"]]
    if "scores" in facts:
        lines.append(f"Against the labels, which the method never saw: {scored(facts)}")
    if path is not None:
        lines.append(f"Look at the groups: {shown((path / 'report.html').as_uri())}")
        lines.append(f"The model: {shown(str(path / 'model.safetensors'))}")
        lines.append(f"Groups of other pictures: selfsort predict {quoted(path)} PICTURES")
    return "\n".join(lines)


@click.command()
@click.argument("run", type=PATH, metavar="RUN")
@click.argument("images", metavar="IMAGES")
@_SPLIT
@click.option("-o", "--output", type=PATH, metavar="CSV", help="Table to write.  [default: printed]")
@click.option("--encoder", metavar="NAME", help="The encoder of RUN, if it may be downloaded.  [default: a local one]")
@json_option
def predict(run: Path, images: str, split: str | None, output: Path | None, encoder: str | None, as_json: bool) -> None:
    """Find the groups of other pictures with the model in RUN, as a table of path, group, status and probability.

    IMAGES is a known set, or a folder, archive or list of pictures, which are brought into the size and colors that the
    model learned from. A run of selfsort organize has no model: there the nearest of its own pictures vote.
    """
    from selfsort.learn.predict import predict as find

    check_file(output)
    with progress_bar() as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = find(run, images, split=split, encoder=encoder, progress=progress)
    rows = found.rows()
    groups = Counter(found.labels[found.labels >= 0].tolist())
    facts: dict[str, Any] = {"run": str(run), "n_items": len(rows), "n_ok": groups.total()}
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if output is not None:
        write_file(output, table.getvalue().encode())
        facts["table"] = str(output)
    if as_json:
        click.echo(json.dumps(facts | {"rows": rows}))
    elif output is None:
        click.echo(harmless(table.getvalue()), nl=False)
    else:
        largest = ", ".join(f"{group} ({count:,})" for group, count in groups.most_common(5))
        unread = f", {len(rows) - groups.total()} could not be read" if len(rows) > groups.total() else ""
        click.echo(
            f"{counted(groups.total(), 'picture')} in {counted(len(groups), 'group')}{unread}; the largest: {largest}."
        )
        click.echo(f"Table: {shown(str(output))}")
