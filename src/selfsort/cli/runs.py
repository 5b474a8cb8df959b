"""Commands on a finished run: ``info``, ``groups``, ``evaluate``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from selfsort.cli.output import PATH, check_file, emit, json_option, run_argument, shown, write_file
from selfsort.runtime import counted

_LEVEL = click.option("--level", type=int, help="Level of the groups, 0 is the coarsest.  [default: the run's own]")


@click.command()
@run_argument
@json_option
def info(run: Path, as_json: bool) -> None:
    """Say what a run folder holds: settings, groups at each level, what could not be read, warnings."""
    from selfsort.clusters import Clusters
    from selfsort.photos.trash_log import trashed_rows

    clusters = Clusters.load(run)
    gone = trashed_rows(clusters)
    there = clusters.ok & ~gone
    n_gone = int(gone.sum())
    statuses = zip(clusters.items.column("status").to_pylist(), gone.tolist(), strict=True)
    reasons = Counter(status for status, is_gone in statuses if status != "ok" and not is_gone)
    levels = [int(level.max(initial=-1)) + 1 for level in clusters.levels.T]
    result = {**clusters.run, "groups_per_level": levels, "unreadable": dict(reasons.most_common()), "trashed": n_gone}

    def text() -> str:
        facts, n_ok = clusters.run, int(there.sum())
        n_nowhere = int((clusters.labels[there] < 0).sum())
        nested = f" (levels from coarse to fine: {', '.join(map(str, levels))})" if len(levels) > 1 else ""
        lines = [
            f"{shown(str(run))}: {n_ok:,} of {int((~gone).sum()):,} {_origin(facts)}",
            f"groups: {levels[facts['level']]}{nested}",
            f"belong nowhere: {n_nowhere}",
            f"{_maker(facts)}, seed {facts.get('seed')}, made {facts.get('created')}",
            "seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in facts.get("seconds", {}).items()),
        ]
        lines += [f"in the trash: {counted(n_gone, 'file')} (selfsort trash --restore)"] if n_gone else []
        lines += [f"could not be read: {count} × {shown(reason)}" for reason, count in reasons.most_common(10)]
        lines += [f"warning: {warning}" for warning in facts.get("warnings", [])]
        return "\n".join(lines)

    emit(result, text, as_json=as_json)


@click.command()
@run_argument
@_LEVEL
@json_option
def groups(run: Path, level: int | None, as_json: bool) -> None:
    """List the groups of RUN as they are after your corrections: number, size, name, and why they have it.

    Numbers are those that selfsort correct takes; groups that you made have some below zero. The name is the one you
    gave (selfsort correct RUN rename), else a suggested one; the reasons are shares of the group's pictures, and of all
    others, when the run was made. With --json also other names that would fit.
    """
    from selfsort.clusters import name_of
    from selfsort.photos.corrected import lacks_catalog, opened
    from selfsort.photos.outcome import listed
    from selfsort.report import reasons

    lacking = lacks_catalog(run)
    with opened(run) as (clusters, corrected):
        level = clusters.level_of(level)
        found, n_nowhere = listed(clusters, corrected, level)
    facts = [
        {key: group.get(key) for key in ("group", "size", "parent", "confidence", "name", "suggested")}
        for group in found
    ]
    names = [shown(name_of(group)) for group in found]
    width = max(map(len, names), default=0)

    def text() -> str:
        lines = [
            f"{group['group']:>4}  {group['size']:>7,}  {name:<{width}}  {shown(reasons(group))}".rstrip()
            for group, name in zip(found, names, strict=True)
        ]
        lines.append(f"{counted(len(found), 'group')}; {counted(n_nowhere, 'picture')} in none.")
        return "\n".join([*lines, *([lacking] if lacking else [])])

    emit({"level": level, "groups": facts}, text, as_json=as_json)


def _origin(facts: dict[str, Any]) -> str:
    """Say where the pictures came from."""
    if facts.get("root"):
        return f"files from {shown(facts['root'])}"
    data = facts.get("data") or {}
    parts = [shown(str(data[key])) for key in ("name", "split", "note") if data.get(key)]
    return f"pictures from {', '.join(parts)}" if parts else "pictures from arrays"


def _maker(facts: dict[str, Any]) -> str:
    """Say what made the groups: the encoder of a grouping by the graph, or the method that learned them."""
    encoder = facts.get("encoder") or {}
    parts = [f"encoder: {shown(encoder['name'])}"] if encoder.get("name") else []
    if not parts or facts.get("method") != "graph":
        parts.insert(0, f"method: {shown(str(facts.get('method')))}")
    return ", ".join(parts)


@click.command()
@run_argument
@click.option("--labels", required=True, metavar="CSV|folders", help="A CSV file, or the word folders.")
@_LEVEL
@click.option(
    "--figure",
    type=PATH,
    help="Where to write the confusion matrix.  [default: confusion.png in RUN]",
)
@json_option
def evaluate(run: Path, labels: str, level: int | None, figure: Path | None, as_json: bool) -> None:
    """Score a run against labels that it never saw.

    The CSV has a column path or file, relative to the scanned folder or archive, and a column label; rows with eval = 0
    are left out. With the word folders, the name of the folder that a picture lies in is its label.
    """
    from selfsort.clusters import Clusters
    from selfsort.evaluation import evaluate as score
    from selfsort.figures import confusion_png

    check_file(figure, "--figure")
    evaluation = score(Clusters.load(run), labels, level=level)
    figure = figure or run / "confusion.png"
    write_file(figure, confusion_png(evaluation), "--figure")
    result = json.loads(evaluation.to_json()) | {"figure": str(figure)}

    def text() -> str:
        width = max(map(len, evaluation.scores))
        lines = [f"{name:<{width}}  {_number(value)}" for name, value in evaluation.scores.items()]
        lines.append("")
        lines += [f"{name}: {shown(str(value))}" for name, value in evaluation.protocol.items()]
        lines.append(f"confusion matrix: {shown(str(figure))}")
        return "\n".join(lines)

    emit(result, text, as_json=as_json)


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
