"""The report: one page that shows the groups of a run, complete in one file and silent on the network."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup

from selfsort.clusters import name_of
from selfsort.dates import moment_of
from selfsort.files import atomic_write

if TYPE_CHECKING:
    from selfsort.clusters import Clusters, Figure

PROTOTYPES_SHOWN = 12
ODD_SHOWN = 4
REASONS_OF_NAME = 4
REASONS_SHOWN = 12  # reasons with a list of their own; the rarer ones share a table
UNREADABLE_SHOWN = 500  # files of each reason; the run folder's items table holds them all
MAP_SIDE = 10_000  # map coordinates are written as whole numbers from 0 to this


def write_report(clusters: Clusters, path: Path, *, max_thumbnails: int = 4000, figure: bytes | None = None) -> None:
    """Write a run as one self-contained HTML page that opens without a server.

    The page makes no request to any host: styles, script, data and thumbnails are inside it, and its
    Content-Security-Policy forbids the rest.

    Parameters
    ----------
    clusters : Clusters
        The run to show.
    path : Path
        The file to write; it is replaced at once, never half written.
    max_thumbnails : int
        How many pictures get a thumbnail inside the page: first those that stand for a group and the odd ones out,
        of all levels, then the others, spread evenly over the groups. The rest appear by name.
    figure : bytes, optional
        A PNG to show beside the scores, such as a confusion matrix.
    """
    run = clusters.run
    script = "".join(map(_asset, ("report.js", "report_colors.js", "report_map.js")))
    style = _asset("colors.css") + _asset("report.css")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("selfsort"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": lambda number: f"{number:,}", "visible": _visible}
    unreadable = _unreadable(clusters)
    n_unreadable = int((~clusters.ok).sum())
    page = environment.get_template("report.html").render(
        name=_visible(_name(run)),
        run=run,
        created=_moment(str(run.get("created") or "")),
        n_items=clusters.items.num_rows,
        n_groups=sum(group["level"] == run["level"] for group in clusters.groups),
        n_nowhere=int((clusters.labels < 0).sum()) - n_unreadable,
        n_unreadable=n_unreadable,
        has_map=clusters.map is not None,
        unreadable=unreadable[:REASONS_SHOWN],
        unreadable_others=[(path, reason) for reason, paths in unreadable[REASONS_SHOWN:] for path in paths],
        unreadable_shown=UNREADABLE_SHOWN,
        scores=_flat(run.get("scores") or {}),
        protocol=_flat(run.get("protocol") or {}),
        settings=_settings(run),
        training=_training(run, clusters.metrics) if clusters.metrics or clusters.figures else [],
        figures=[_shown(figure) for figure in clusters.figures],
        figure=base64.b64encode(figure).decode("ascii") if figure else None,
        script=Markup(script),
        style=Markup(style),
        script_hash=_hash(script),
        style_hash=_hash(style),
        data=Markup(_json(_payload(clusters, max_thumbnails))),
    )
    with atomic_write(Path(path)) as temporary:
        # A lone surrogate, from a folder name that is not valid text, is shown as its escape.
        temporary.write_bytes(page.encode("utf-8", "backslashreplace"))


def _asset(name: str) -> str:
    return (files("selfsort") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the Content-Security-Policy source that admits exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _json(payload: Mapping[str, Any]) -> str:
    """Return JSON that is safe inside a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _payload(clusters: Clusters, max_thumbnails: int) -> dict[str, Any]:
    """Return what the page's script needs, column-wise and rounded, so that 100,000 rows stay small."""
    items = clusters.items
    x, y = whole(clusters.map, MAP_SIDE, missing=-1).T.tolist() if clusters.map is not None else ([], [])
    confidence = np.nan_to_num(clusters.confidence, nan=0.0)
    groups: list[list[dict[str, Any]]] = [[] for _ in range(clusters.levels.shape[1])]
    for group in clusters.groups:
        groups[group["level"]].append(_group(group))
    return {
        "level": int(clusters.run["level"]),
        "paths": items["path"].to_pylist(),
        "width": items["width"].to_pylist(),
        "height": items["height"].to_pylist(),
        "sure": np.rint(100 * confidence).astype(int).tolist(),
        "x": x,
        "y": y,
        "labels": [column.tolist() for column in clusters.levels.T],
        "unreadable": np.flatnonzero(~clusters.ok).tolist(),
        "groups": groups,
        "thumbnails": _thumbnails(clusters, max_thumbnails),
    }


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "group": int(group["group"]),
        "number": int(group.get("number", group["group"])),
        "size": int(group["size"]),
        "parent": None if group["parent"] is None else int(group["parent"]),
        "sure": round(100 * float(np.nan_to_num(group["confidence"]))),
        "prototypes": [int(row) for row in group["prototypes"][:PROTOTYPES_SHOWN]],
        "odd": [int(row) for row in group["odd"][:ODD_SHOWN]],
    }
    if name := name_of(group):
        shown["name"] = _visible(name)
    if why := reasons(group):
        shown["why"] = _visible(why)
    return shown


def reasons(group: Mapping[str, Any]) -> str:
    """Return in words why a group has its suggested name: what so much of it, and of the others, has or shows."""
    evidence = (group.get("suggested") or {}).get("evidence") or ()
    return ", ".join(map(_reason, evidence[:REASONS_OF_NAME]))


def _reason(evidence: Mapping[str, Any]) -> str:
    term, elsewhere = evidence["term"], evidence["elsewhere"]
    words = {"text": f"the text “{term}”", "place": f"taken in {term}", "time": f"taken {term}"}
    others = "none" if elsewhere == 0 else f"{elsewhere:.0%}" if elsewhere >= 0.005 else "under 1%"
    return f"{words.get(evidence['source'], term)} {evidence['share']:.0%} (others {others})"


def whole(points: np.ndarray, side: int, missing: int) -> np.ndarray:
    """Return places, shape (n, 2), as whole numbers of one scale from 0 to `side`; `missing` where there is none."""
    placed = np.isfinite(points).all(axis=1)
    found = np.full(points.shape, missing, dtype=np.int64)
    if placed.any():
        seen = np.asarray(points[placed], np.float64)
        low = seen.min(axis=0)
        span = float((seen.max(axis=0) - low).max()) or 1.0
        found[placed] = np.rint((seen - low) / span * side)
    return found


def _by_importance(clusters: Clusters) -> Iterator[int]:
    """Yield rows, some of them twice, in the order in which they deserve a thumbnail.

    One of each group before a second of any, so that a small budget still shows every group.
    """
    default = int(clusters.run["level"])
    levels = sorted(clusters.groups, key=lambda group: group["level"] != default)
    faces = [[*group["prototypes"][:PROTOTYPES_SHOWN], *group["odd"][:ODD_SHOWN]] for group in levels]
    order = np.argsort(-np.nan_to_num(clusters.confidence), kind="stable")
    order = order[np.argsort(clusters.labels[order], kind="stable")]
    members = np.split(order, np.flatnonzero(np.diff(clusters.labels[order])) + 1)
    for ranks in (itertools.zip_longest(*faces), itertools.zip_longest(*(rows.tolist() for rows in members))):
        for rank in ranks:
            yield from (int(row) for row in rank if row is not None)


def _thumbnails(clusters: Clusters, budget: int) -> dict[str, Any]:
    """Return the embedded thumbnails as base64, their common first bytes (the JPEG tables) written once."""
    images: dict[int, bytes] = {}
    seen: set[int] = set()
    for row in _by_importance(clusters):
        if len(images) >= budget:
            break
        if row in seen or not clusters.ok[row]:
            continue
        seen.add(row)
        image = clusters.thumbnail(row)
        if image:
            images[row] = image
    # What the first and the last in byte order share, all share; whole base64 groups can be joined as text.
    first, last = min(images.values(), default=b""), max(images.values(), default=b"")
    shared = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)) // 3 * 3
    return {
        "prefix": base64.b64encode(first[:shared]).decode("ascii"),
        "rows": list(images),
        "images": [base64.b64encode(image[shared:]).decode("ascii") for image in images.values()],
    }


def _unreadable(clusters: Clusters) -> list[tuple[str, list[str]]]:
    """Return each reason with the paths it holds for, the most frequent first."""
    reasons: dict[str, list[str]] = {}
    paths = clusters.items["path"].to_pylist()
    for path, status in zip(paths, clusters.items["status"].to_pylist(), strict=True):
        if status != "ok":
            reasons.setdefault(status, []).append(path)
    return sorted(reasons.items(), key=lambda entry: -len(entry[1]))


def _visible(path: str) -> str:
    """Return a path without control and direction-changing characters, so that it cannot rearrange the page."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", "\ufffd", path)


def _name(run: Mapping[str, Any]) -> str:
    """Return the last part of the root, a path of any system, or the name of the data, or a plain word."""
    root = str(run.get("root") or "")
    if not root:
        data = run.get("data") or {}
        return " · ".join(str(data[key]) for key in ("name", "split") if data.get(key)) or "Pictures"
    path = PurePosixPath(root) if root.startswith("/") else PureWindowsPath(root)
    return path.name or root


def _moment(created: str) -> str:
    try:
        return moment_of(datetime.fromisoformat(created))
    except ValueError:
        return created


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings or scores as (name, text) pairs."""
    pairs: list[tuple[str, str]] = []
    for key, part in value.items():
        name = f"{prefix}{key}".replace("__", " · ").replace("_", " ")
        if isinstance(part, Mapping):
            pairs += _flat(part, f"{name} · ")
        elif isinstance(part, float):
            pairs.append((name, f"{part:.4g}"))
        elif isinstance(part, list | tuple):
            pairs.append((name, ", ".join(map(str, part))))
        else:
            pairs.append((name, str(part)))
    return pairs


def _settings(run: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the run's settings in titled parts; what is shown elsewhere on the page is left out."""
    parts = {
        "data": "Data",
        "params": "Parameters",
        "encoder": "Encoder",
        "seconds": "Seconds per stage",
        "versions": "Versions",
    }
    elsewhere = {*parts, "warnings", "scores", "protocol"}
    general = {key: value for key, value in run.items() if key not in elsewhere and value not in (None, "")}
    sections = [("Run", _flat(general))]
    sections += [(title, _flat(run[key])) for key, title in parts.items() if run.get(key)]
    return sections


def _training(run: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return in words what learning curves show: for each stage its length and where each term began and ended."""
    pairs = [("method", str(run["method"]))] if run.get("method") else []
    for stage, group in itertools.groupby(metrics, key=lambda row: str(row.get("stage", ""))):
        rows = list(group)
        text = f"{len(rows):,} {'epoch' if len(rows) == 1 else 'epochs'}"
        seconds = [row["seconds"] for row in rows if isinstance(row.get("seconds"), int | float)]
        if seconds:
            text += f", {sum(seconds):,.0f} s"
        terms = dict.fromkeys(key for row in rows for key in row if key not in ("stage", "epoch", "step", "seconds"))
        for term in terms:
            numbers = [row[term] for row in rows if isinstance(row.get(term), int | float)]
            values = [value for value in numbers if math.isfinite(value)]
            if values:
                ends = dict.fromkeys(f"{value:.4g}" for value in (values[0], values[-1]))
                # no line ends inside
                text += " · " + f"{term} {' → '.join(ends)}".replace("_", " ").replace(" ", "\xa0")
        pairs.append((stage.replace("_", " "), text))
    return pairs


def _shown(figure: Figure) -> dict[str, Any]:
    """Return what the page needs of a figure; at any resolution its size is that on paper and a quarter more."""
    from PIL import Image

    with Image.open(io.BytesIO(figure.png)) as image:
        (width, height), dpi = image.size, float(image.info.get("dpi", (0, 0))[0])
    scale = 1.25 * 96 / dpi if dpi > 0 else 1.0
    data = base64.b64encode(figure.png).decode("ascii")
    size = {"width": round(width * scale), "height": round(height * scale)}
    return {"title": figure.title, "caption": figure.caption, "data": data} | size
