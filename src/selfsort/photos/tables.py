"""The groups of a run as one table, and that table in the formats of others: CSV, Parquet, JSON, FiftyOne."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfsort.clusters import Clusters
from selfsort.photos.catalog import Catalog
from selfsort.photos.metadata import taken
from selfsort.photos.outcome import Outcome
from selfsort.photos.persons import named, persons
from selfsort.photos.places import are_known, find_places
from selfsort.photos.quality import flawed
from selfsort.photos.seen import kinds_of, objects_of

if TYPE_CHECKING:
    import pyarrow as pa

CSV, PARQUET, JSON = "groups.csv", "groups.parquet", "groups.json"
#: What FiftyOneImageClassificationDatasetImporter reads.
FIFTYONE = ("data.json", "labels.json")
#: What a formula begins with in a spreadsheet; ＝ and the others count in East Asian versions.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
#: Which files each mode makes.
TABLES: dict[str, tuple[str, ...]] = {"csv": (CSV,), "parquet": (PARQUET,), "json": (JSON,), "fiftyone": FIFTYONE}
#: Raise when the JSON document changes in a way that its readers must know of.
JSON_VERSION = 1


def table(clusters: Clusters, outcome: Outcome, catalog: Catalog | None = None, *, hidden: bool = False) -> pa.Table:
    """Return one row per picture that could be read.

    Parameters
    ----------
    clusters : Clusters
    outcome : Outcome
    catalog : Catalog, optional
        Knows when and where pictures were taken; without it only their names tell.
    hidden : bool
        Whether hidden pictures are there too.

    Returns
    -------
    pyarrow.Table
        ``path`` (for people), ``path_bytes`` (exact), ``id`` (hash of the content), ``group``, ``key``, ``name``
        (null if the group has none), ``level_0`` and so on (the run's own groups, coarsest first), ``confidence``,
        ``prototype_rank`` (null if it is none), ``placed``, ``locked``, ``hidden``, ``width``, ``height``, ``kind`` (of
        the picture by itself), ``kind_probability``,
        ``taken`` (local time), ``taken_offset`` (minutes from UTC), ``taken_source``, ``taken_precision`` (see
        `selfsort.photos.metadata.Taken`), ``latitude``, ``longitude``, ``place`` (town, region, country), ``flaws``
        (list), ``objects`` (list of what it may show, most probable first), ``objects_probability`` (list), ``text``,
        ``faces`` (how many), ``people`` (list of what the persons are called that were recognized in it). What was not
        read of a picture is null; an empty list says that there is nothing.
    """
    import pyarrow as pa

    rows = np.flatnonzero(clusters.ok & (hidden | ~outcome.hidden))
    items = clusters.items.take(rows)
    labels = outcome.labels[rows].tolist()
    ranks: dict[int, int] = {}
    for group in clusters.groups:
        if group["level"] == outcome.level:
            ranks |= {row: rank for rank, row in enumerate(group.get("prototypes", ()))}
    columns: dict[str, Any] = {name: items.column(name).combine_chunks() for name in ("path", "path_bytes", "id")}
    columns |= {
        "group": pa.array(labels, pa.int32()),
        "key": pa.array([outcome.keys.get(label) for label in labels], pa.int64()),
        "name": pa.array([outcome.names.get(label) for label in labels], pa.string()),
    }
    columns |= {f"level_{i}": pa.array(level[rows], pa.int32()) for i, level in enumerate(clusters.levels.T)}
    columns |= {
        "confidence": pa.array(clusters.confidence[rows].astype(float).round(4), from_pandas=True),
        "prototype_rank": pa.array([ranks.get(row) for row in rows.tolist()], pa.int32()),
        "placed": pa.array(outcome.placed[rows]),
        "locked": pa.array(outcome.locked[rows]),
        "hidden": pa.array(outcome.hidden[rows]),
        "width": items.column("width").combine_chunks(),
        "height": items.column("height").combine_chunks(),
    }
    columns |= _kinds_and_objects(clusters, rows.tolist(), catalog)
    return pa.table(columns | _when_and_where(items, catalog) | _read(clusters, rows.tolist(), catalog))


def written(mode: str, pictures: pa.Table, clusters: Clusters, outcome: Outcome) -> dict[str, bytes]:
    """Return the files of one of the `TABLES` by their names."""
    if mode == "fiftyone":
        return to_fiftyone(pictures, clusters, outcome)
    if mode == "json":
        return {JSON: to_json(pictures, clusters, outcome)}
    return {CSV: to_csv(pictures)} if mode == "csv" else {PARQUET: to_parquet(pictures)}


def to_csv(pictures: pa.Table) -> bytes:
    """Return the table as CSV; paths are exact, so bytes that are not UTF-8 stay what they are.

    No cell of text begins like a formula, which a spreadsheet would compute: a path then begins with ``./``, other text
    with an apostrophe.
    """
    names = [name for name in pictures.column_names if name != "path_bytes"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    columns = [pictures.column("path_bytes" if name == "path" else name).to_pylist() for name in names]
    escapes = ["./" if name == "path" else "'" for name in names]
    for row in zip(*columns, strict=True):
        writer.writerow([_cell(value, escape) for value, escape in zip(row, escapes, strict=True)])
    return os.fsencode(text.getvalue())


def to_parquet(pictures: pa.Table) -> bytes:
    """Return the table as a Parquet file."""
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pictures, out, compression="zstd")
    return out.getvalue()


def to_json(pictures: pa.Table, clusters: Clusters, outcome: Outcome) -> bytes:
    """Return the groups, with their pictures, as one JSON document; ``docs/guide/export.md`` describes it."""
    members: dict[int, list[dict[str, Any]]] = {group: [] for group in [*outcome.groups, -1]}
    numbers = dict(zip(clusters.items.column("path_bytes").to_pylist(), outcome.found.tolist(), strict=True))
    for row in pictures.to_pylist():
        exact = row.pop("path_bytes")
        picture = {name: _json_value(value) for name, value in row.items() if value is not None and name != "name"}
        picture["moved_from"] = numbers[exact] if numbers[exact] != row["group"] else None
        if os.fsdecode(exact) != row["path"]:
            picture["path_base64"] = base64.b64encode(exact).decode("ascii")
        members[picture.pop("group")].append(picture)
    known = set(outcome.found.tolist())
    groups = [
        {
            "group": group,
            "key": outcome.keys.get(group),
            "name": outcome.names.get(group),
            "made_by_hand": group not in known,
            "merged_from": outcome.merged.get(group, []),
            "pictures": members[group],
        }
        for group in outcome.groups
        if members[group]
    ]
    document = {
        "format": "selfsort groups",
        "version": JSON_VERSION,
        "run": {name: clusters.run.get(name) for name in ("selfsort", "method", "created", "fingerprint", "root")},
        "level": outcome.level,
        "n_corrections": outcome.n_corrections,
        "groups": groups,
        "nowhere": members[-1],
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=1).encode("ascii") + b"\n"


def to_fiftyone(pictures: pa.Table, clusters: Clusters, outcome: Outcome) -> dict[str, bytes]:
    """Return the files of a ``fiftyone.types.FiftyOneImageClassificationDataset`` that leaves pictures where they are.

    ``data.json`` says where each picture is, ``labels.json`` has its group with the confidence, and the rest of the
    table as attributes. Pictures whose path is no UTF-8 are left out: FiftyOne's database cannot hold them.

    References
    ----------
    FiftyOne, ``fiftyone/utils/data/importers.py``: FiftyOneImageClassificationDatasetImporter.
    """
    files: dict[str, str] = {}
    labels: dict[str, Any] = {}
    left_out = {"path", "path_bytes", "id", "confidence"}  # a label's own id is another
    for i, row in enumerate(pictures.to_pylist()):
        path = absolute_path(clusters, row["path_bytes"])
        if not is_text(path):
            continue
        files[f"{i:07d}"] = path
        attributes = {name: _json_value(of) for name, of in row.items() if name not in left_out and of is not None}
        label = {
            "label": outcome.name(row["group"]),
            "confidence": row["confidence"],
            "attributes": attributes | {"content": row["id"]},
        }
        labels[f"{i:07d}"] = label if row["group"] >= 0 else None
    classes = sorted({label["label"] for label in labels.values() if label})
    documents = (files, {"classes": classes, "labels": labels})
    return {
        name: json.dumps(document, indent=1).encode("ascii") + b"\n"
        for name, document in zip(FIFTYONE, documents, strict=True)
    }


def absolute_path(clusters: Clusters, path: bytes) -> str:
    """Return where a picture of a run lies."""
    return str(Path(clusters.run.get("root") or "", os.fsdecode(path)))


def is_text(path: str) -> bool:
    """Tell whether a path is UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace") == path


def _kinds_and_objects(clusters: Clusters, rows: list[int], catalog: Catalog | None) -> dict[str, Any]:
    import pyarrow as pa

    kinds = kinds_of(clusters, catalog.facts("looks") if catalog is not None else {}, rows)
    found = objects_of(clusters, rows)
    shown = [found.get(row) for row in rows]
    terms = [None if of is None else [term for term, _ in of] for of in shown]
    shares = [None if of is None else [round(share, 4) for _, share in of] for of in shown]
    return {
        "kind": pa.array([kinds[row][0] if row in kinds else None for row in rows], pa.string()),
        "kind_probability": pa.array([round(kinds[row][1], 4) if row in kinds else None for row in rows], pa.float64()),
        "objects": pa.array(terms, pa.list_(pa.string())),
        "objects_probability": pa.array(shares, pa.list_(pa.float64())),
    }


def _read(clusters: Clusters, rows: list[int], catalog: Catalog | None) -> dict[str, Any]:
    """Return what was read of pictures, or in them: flaws, text, faces, whose they are."""
    import pyarrow as pa

    ids = clusters.items.column("id").to_pylist()
    contents = [ids[row] for row in rows]
    names = ("looks", "text", "people")
    looks, texts, faces = (catalog.facts(name) if catalog is not None else {} for name in names)
    known, called = (persons(catalog), catalog.person_names()) if catalog is not None else ({}, {})
    wrong: dict[int, list[str]] = {row: [] for row, content in enumerate(ids) if looks.get(content)}
    for flaw, found in flawed(clusters, looks).items():
        for row in found:
            wrong[row].append(flaw)
    return {
        "flaws": pa.array([wrong.get(row) for row in rows], pa.list_(pa.string())),
        "text": pa.array([(texts.get(content) or {}).get("text") for content in contents], pa.string()),
        "faces": pa.array([len(faces[c]["faces"]) if faces.get(c) else None for c in contents], pa.int16()),
        "people": pa.array([named(known[c], called) if c in known else None for c in contents], pa.list_(pa.string())),
    }


def _when_and_where(items: pa.Table, catalog: Catalog | None) -> dict[str, Any]:
    import pyarrow as pa

    facts = catalog.facts("metadata") if catalog is not None else {}
    mtimes = catalog.mtimes() if catalog is not None else {}
    paths, ids = items.column("path_bytes").to_pylist(), items.column("id").to_pylist()
    known = [facts.get(content) or {} for content in ids]
    moments = [taken(of, os.fsdecode(path), mtimes.get(path)) for of, path in zip(known, paths, strict=True)]
    offsets = [moment.at.utcoffset() if moment else None for moment in moments]
    latitudes, longitudes = ([of.get(name) for of in known] for name in ("latitude", "longitude"))
    return {
        "taken": pa.array([m.at.replace(tzinfo=None) if m else None for m in moments], pa.timestamp("s")),
        "taken_offset": pa.array([None if o is None else int(o.total_seconds()) // 60 for o in offsets], pa.int16()),
        "taken_source": pa.array([m.source if m else None for m in moments], pa.string()),
        "taken_precision": pa.array([m.precision if m else None for m in moments], pa.string()),
        "latitude": pa.array(latitudes, pa.float64()),
        "longitude": pa.array(longitudes, pa.float64()),
        "place": pa.array(_places(latitudes, longitudes), pa.string()),
    }


def _places(latitudes: list[float | None], longitudes: list[float | None]) -> list[str | None]:
    places: list[str | None] = [None] * len(latitudes)
    pairs = enumerate(zip(latitudes, longitudes, strict=True))
    known = {i: (a, b) for i, (a, b) in pairs if a is not None and b is not None}
    if known and are_known():
        found = find_places([a for a, _ in known.values()], [b for _, b in known.values()])
        for i, place in zip(known, found, strict=True):
            if place is not None:
                places[i] = ", ".join(filter(None, (place.town, place.region, place.country)))
    return places


def _cell(value: Any, escape: str) -> Any:
    """Return a value as it stands in a CSV."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, str):
        return f"{escape}{value}" if value.lstrip().startswith(_FORMULA) or value.startswith(("\t", "\r")) else value
    return value.isoformat() if isinstance(value, datetime) else value


def _json_value(value: Any) -> Any:
    """Return a value as it stands in JSON."""
    return value.isoformat() if isinstance(value, datetime) else value
