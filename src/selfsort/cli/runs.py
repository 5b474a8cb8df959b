"""Commands on a finished run: ``info``, ``groups``, ``evaluate``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from selfsort.cli.output import PATH, check_file, emit, json_option, quoted, run_argument, shown, write_file
from selfsort.dates import noted
from selfsort.runtime import counted

_LEVEL = click.option("--level", type=int, help="Level of the groups, 0 is the coarsest.  [default: the run's own]")

#: So many reasons why files could not be read are listed.
_N_REASONS = 10
_GROUP_FACTS = ("group", "size", "parent", "confidence", "name", "suggested")


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
            f"{_maker(facts)}, seed {facts.get('seed')}, made {shown(noted(str(facts.get('created'))))}",
            "seconds: "
            + ", ".join(f"{shown(stage)} {seconds:.1f}" for stage, seconds in facts.get("seconds", {}).items()),
        ]
        lines += [f"in the trash: {counted(n_gone, 'file')} (selfsort trash --restore)"] if n_gone else []
        lines += [
            f"could not be read: {count:,} × {shown(reason)}" for reason, count in reasons.most_common(_N_REASONS)
        ]
        if len(reasons) > _N_REASONS:
            lines.append(f"... and {counted(len(reasons) - _N_REASONS, 'more reason')}")
        if reasons:
            lines.append(f"Which files these are: selfsort list {quoted(run)} --unreadable")
        lines += [f"warning: {shown(warning)}" for warning in facts.get("warnings", [])]
        return "\n".join(lines)

    emit(result, text, as_json=as_json)


@click.command()
@run_argument
@click.argument("group", type=int, required=False, metavar="[GROUP]")
@_LEVEL
@json_option
def groups(run: Path, group: int | None, level: int | None, as_json: bool) -> None:
    """List the groups of RUN as they are after your corrections, or the pictures of one GROUP.

    Of each group: number, size, name, and why it has that name. A group keeps its number in every run of the same
    pictures; every command takes it. The name is the one you gave (selfsort correct RUN rename), else a suggested one;
    the reasons are shares of the group's pictures, and of all others, when the run was made. With --json also other
    names that would fit. Numbers at another --level than the run's own are of this run only.
    """
    from selfsort.clusters import name_of
    from selfsort.photos.corrected import lacks_catalog, opened
    from selfsort.photos.outcome import listed
    from selfsort.report import reasons

    if group is not None:
        _one_group(run, group, level, as_json=as_json)
        return
    lacking = lacks_catalog(run)
    with opened(run) as (clusters, corrected):
        level = clusters.level_of(level)
        found, n_nowhere = listed(clusters, corrected, level)
    facts = [{key: of.get(key) for key in _GROUP_FACTS} for of in found]
    names = [shown(name_of(of)) for of in found]
    width = max(map(len, names), default=0)

    def text() -> str:
        lines = [
            f"{of['group']:>4}  {of['size']:>7,}  {name:<{width}}  {shown(reasons(of))}".rstrip()
            for of, name in zip(found, names, strict=True)
        ]
        lines.append(f"{counted(len(found), 'group')}; {counted(n_nowhere, 'picture')} in none.")
        return "\n".join([*lines, *([lacking] if lacking else [])])

    emit({"level": level, "groups": facts}, text, as_json=as_json)


def _one_group(run: Path, number: int, level: int | None, *, as_json: bool) -> None:
    """Print the pictures of one group."""
    from selfsort.cli.listing import told
    from selfsort.clusters import name_of
    from selfsort.errors import DataError
    from selfsort.photos.selection import as_json as plain
    from selfsort.photos.selection import group_of

    if level is not None:
        raise DataError("The pictures of a group are listed at the run's own level: leave out --level or GROUP.")
    group, pictures = group_of(run, number)
    facts = {key: group.get(key) for key in _GROUP_FACTS} | {"pictures": [plain(picture) for picture in pictures]}
    name = shown(name_of(group))
    lines = [f"Group {group['group']}{f' ({name})' if name else ''}: {counted(len(pictures), 'picture')}"]
    emit(facts, "\n".join([*lines, *(f"  {told(picture)}" for picture in pictures)]), as_json=as_json)


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
        return "\n".join(
            [
                *_table(evaluation.scores),
                "",
                *_table(evaluation.protocol | {"confusion matrix": figure}),
            ]
        )

    emit(result, text, as_json=as_json)


def _table(facts: Mapping[str, Any]) -> list[str]:
    """Return names and values in two columns; what a mapping holds stands below its name."""
    rows: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            rows += [(name, ""), *((f"  {part}", of) for part, of in value.items())]
        else:
            rows.append((name, value))
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {_value(value)}".rstrip() for name, value in rows]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bool) or not isinstance(value, int):
        return "-" if value is None else shown(", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return f"{value:,}"
