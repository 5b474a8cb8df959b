"""``selfsort organize`` and ``selfsort demo``."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfsort.cli.output import PATH, emit, json_option, progress_bar, shown
from selfsort.dates import noted
from selfsort.errors import DataError
from selfsort.runtime import counted

if TYPE_CHECKING:
    from selfsort.clusters import Clusters

_GROUPS = {"new_groups": "new", "gone_groups": "fewer"}
_SCORES = ("ami", "ari", "nmi", "acc", "acc_many_to_one")


@click.command()
@click.argument("pictures", type=PATH, metavar="FOLDER")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="RUN",
    help="Run folder to write.  [default: NAME.selfsort in the current folder]",
)
@click.option("--groups", type=int, metavar="K", help="Number of groups.  [default: found]")
@click.option(
    "--granularity", type=float, default=1.0, show_default=True, help="Above 1: more, smaller groups; below 1: fewer."
)
@click.option(
    "--encoder",
    default="efficientnet-lite0",
    show_default=True,
    help="The built-in encoder, an ONNX file, or a Hugging Face model (folder or name).",
)
@click.option(
    "--neighbors", type=int, help="Neighbors of each picture in the graph.  [default: 15, fewer below 225 pictures]"
)
@click.option("--learn", is_flag=True, help="Learn from the pictures how much an earlier layer of the encoder counts.")
@click.option(
    "--metadata/--no-metadata",
    default=True,
    show_default=True,
    help="Read from the files when, where and how pictures were taken.",
)
@click.option(
    "--looks/--no-looks",
    default=True,
    show_default=True,
    help="Read from the pixels of what kind pictures are and what is wrong with them; group by what they show, too.",
)
@click.option(
    "--text/--no-text",
    default=False,
    show_default=True,
    help="Read the text in pictures too, to search for it: slow, some pictures a second. Or later: selfsort text.",
)
@click.option(
    "--people/--no-people",
    default=False,
    show_default=True,
    help="Count the faces in pictures too: some forty pictures a second for each processor. Or later: selfsort people.",
)
@click.option("--labels", metavar="CSV|folders", help="Labels to score the groups with; they steer nothing.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the grouping and the map.")
@click.option("--replace", is_flag=True, help="Give up a run of other pictures that is there.")
@json_option
def organize(
    pictures: Path,
    output: Path | None,
    groups: int | None,
    granularity: float,
    encoder: str,
    neighbors: int | None,
    learn: bool,
    metadata: bool,
    looks: bool,
    text: bool,
    people: bool,
    labels: str | None,
    seed: int,
    replace: bool,
    as_json: bool,
) -> None:
    """Group the pictures in FOLDER and write a run folder with a page to look at.

    FOLDER may also be a .tar or .zip archive, a text file with one path per line, or a single picture. Originals are
    only read. Run the same command again to continue after an interruption, or to add new pictures: only those are
    read and encoded.
    """
    from selfsort.photos.organize import organize as run
    from selfsort.photos.settings import Settings

    settings = Settings(
        groups=groups,
        granularity=granularity,
        encoder=encoder,
        n_neighbors=neighbors,
        metadata=metadata,
        looks=looks,
        text=text,
        people=people,
        learn=learn,
        seed=seed,
    )
    target = output or Path(f"{stem(pictures)}.selfsort")
    with progress_bar() as progress:
        clusters = run(pictures, target, settings=settings, labels=labels, replace=replace, progress=progress)
    emit(_result(clusters), lambda: _summary(clusters), as_json=as_json)


@click.command()
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("selfsort-demo"),
    show_default=True,
    help="Folder for the pictures and the run.",
)
@json_option
def demo(output: Path, as_json: bool) -> None:
    """Show the main job on 1,797 real pictures of handwritten digits that come with scikit-learn."""
    from selfsort.photos.organize import organize as run

    pictures = output / "pictures"
    labels = output / "labels.csv"
    marker = output / ".selfsort-demo"
    if output.exists() and not output.is_dir():
        raise DataError(f"{output} is a file. Give a folder with -o.")
    if output.exists() and any(output.iterdir()) and not marker.exists():
        raise DataError(f"{output} holds other files. Give a new folder with -o.")
    output.mkdir(parents=True, exist_ok=True)
    marker.touch()
    with progress_bar() as progress:
        progress("write", 0, None)
        _write_digits(pictures, labels)
        clusters = run(pictures, output / "run", labels=labels, progress=progress)
    emit(_result(clusters), lambda: _summary(clusters), as_json=as_json)


def _write_digits(pictures: Path, labels: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        name = f"digit-{number:04d}.png"
        content = io.BytesIO()
        Image.fromarray((pixels * 255 / 16).round().astype("uint8")).save(content, "PNG")
        if not (pictures / name).exists() or (pictures / name).read_bytes() != content.getvalue():
            (pictures / name).write_bytes(content.getvalue())
        rows.append((name, int(digit)))
    with labels.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label"))
        writer.writerows(rows)


def stem(pictures: Path) -> str:
    """Return what a run of these pictures is called by default."""
    name = Path(os.path.normpath(pictures.absolute())).name or "pictures"
    for suffix in (".gz", ".bz2", ".xz", ".tar", ".tgz", ".zip", ".txt"):
        name = name.removesuffix(suffix)
    return name or "pictures"


def _result(clusters: Clusters) -> dict[str, Any]:
    facts = clusters.run
    if clusters.unchanged:  # what the run says of itself is old news
        nothing = {name: dict.fromkeys(facts.get(name) or {}, 0) for name in ("changes", "moved")}
        nothing["changes"] |= {"same": facts["n_items"]}
        facts = facts | nothing | {"n_encoded": 0, "seconds": {}}
    keys = (
        "n_items",
        "n_ok",
        "n_groups",
        "n_nowhere",
        "n_encoded",
        "n_corrections",
        "changes",
        "moved",
        "kinds",
        "learned",
        "seconds",
        "warnings",
        "scores",
        "protocol",
    )
    return {
        "run": str(clusters.path),
        "report": str(clusters.path / "report.html") if clusters.path else None,
        "unchanged": clusters.unchanged,
        **{key: facts[key] for key in keys if key in facts},
    }


def _summary(clusters: Clusters) -> str:
    facts, path = clusters.run, clusters.path
    unread = facts["n_items"] - facts["n_ok"]
    parts = [f"{counted(facts['n_ok'], 'picture')} in {counted(facts['n_groups'], 'group')}"]
    if facts["n_nowhere"]:
        parts.append(f"{facts['n_nowhere']:,} {'belongs' if facts['n_nowhere'] == 1 else 'belong'} nowhere")
    if unread:
        parts.append(f"{unread} could not be read")
    if clusters.unchanged:
        lines = [f"Nothing has changed since {noted(facts['created'])}: {', '.join(parts)}."]
    else:
        lines = [", ".join(parts) + f" ({sum(facts['seconds'].values()):.0f} s)."]
    lines += [f"Warning: {shown(warning)}" for warning in facts["warnings"]]
    lines += [] if clusters.unchanged else _news(facts)
    if "learned" in facts and not clusters.unchanged:
        lines.append(_lesson(facts["learned"]))
    if "scores" in facts:
        lines.append(f"Against the labels, which the grouping never saw: {scored(facts)}")
    if path is not None:
        lines.append(f"Look at the groups: {shown((path / 'report.html').as_uri())}")
    return "\n".join(lines)


def scored(facts: dict[str, Any]) -> str:
    """Return the scores of a run in a line, and of how many pictures they are unless of all."""
    scores = "  ".join(f"{name} {facts['scores'][name]:.3f}" for name in _SCORES)
    n_scored, n_ok = facts["protocol"]["n_scored"], facts["n_ok"]
    return scores + (f"  ({n_scored:,} of {n_ok:,} pictures have one)" if n_scored < n_ok else "")


def _news(facts: dict[str, Any]) -> list[str]:
    """Say what changed since the run before, and what pictures are of which kind."""
    lines = []
    changes, moved = facts.get("changes", {}), facts.get("moved") or {}
    if moved:
        known = {"new": "new", "changed": "changed", "moved": "in another place", "gone": "gone"}
        parts = [f"{changes[name]:,} {word}" for name, word in known.items() if changes.get(name)]
        parts.append(f"{moved['moved']:,} in another group")
        parts += [counted(moved[name], f"{word} group") for name, word in _GROUPS.items() if moved[name]]
        lines.append(f"Since the last run: {', '.join(parts)}.")
    if facts.get("n_corrections"):
        lines.append(f"{counted(facts['n_corrections'], 'correction')} taken into account.")
    kinds = facts.get("kinds", {})
    if len(kinds) > 1:
        named = sorted(kinds.items(), key=lambda pair: -pair[1])
        lines.append("Coarsest groups, by kind: " + ", ".join(f"{n:,} {name}" for name, n in named) + ".")
    return lines


def _lesson(learned: dict[str, Any]) -> str:
    before, now = learned["modularity"]["0.0"], learned["modularity"][str(learned["weight"])]
    if not learned["weight"]:
        return "Learned: an earlier layer of the encoder adds too little to these groups, so they are as usual."
    return (
        f"Learned: an earlier layer of the encoder counts too, at {learned['weight']:g} times the length of the last "
        f"(modularity {before:.3f} before, {now:.3f} now)."
    )
