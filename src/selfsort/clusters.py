"""The result of a run and its folder: what every method writes and every reader reads.

A run folder is written once, as a whole, and never changed afterwards. Row i of every array belongs to
row i of ``items.parquet``; rows that could not be read have label -1 and say why in ``status``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfsort.arguments import PATH, checked
from selfsort.errors import DataError
from selfsort.runtime import atomic_write, counted

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
ARRAYS = ("labels", "levels", "confidence", "embedding", "neighbors", "map", "probabilities", "merges")
METRICS, FIGURES = "metrics.jsonl", "figures.json"
_FIGURE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

IntArray = npt.NDArray[np.int64] | npt.NDArray[np.int32]


def items_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build the items table.

    Parameters
    ----------
    rows : iterable of mappings
        With the keys of the schema: ``id`` (xxh3-128 of the bytes, hexadecimal; empty if unread), ``path`` (valid
        UTF-8, for people), ``path_bytes`` (exact bytes), ``size`` in bytes, ``width`` and ``height`` in pixels after
        turning upright (0 if unknown), ``format``, ``status`` ("ok" or the reason).
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            ("id", pa.string()),
            ("path", pa.string()),
            ("path_bytes", pa.binary()),
            ("size", pa.int64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("format", pa.string()),
            ("status", pa.string()),
        ]
    )
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for row in rows:
        for name, column in columns.items():
            column.append(row[name])
    return pa.table(columns, schema=schema)


@dataclass(frozen=True)
class Figure:
    """A picture of how a run went that its method wants to show: learning curves, reconstructions.

    Attributes
    ----------
    name : str
        Its file is ``figures/<name>.png``: ASCII letters, digits, ``-`` and ``_``.
    title : str
    caption : str
        What is to be seen, in words that also serve those who do not see the picture.
    png : bytes
    """

    name: str
    title: str
    caption: str
    png: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _FIGURE_NAME.fullmatch(self.name):  # it must not lead out of the folder
            raise DataError(f"A figure's name needs to be of letters, digits, - and _: got {self.name!r}.")
        if not (self.png.startswith(b"\x89PNG\r\n\x1a\n") and self.png.endswith(b"IEND\xaeB`\x82")):
            raise DataError(f"The figure {self.name} is not a whole PNG file.")


@dataclass(repr=False, eq=False)
class Clusters:
    """Groups of images, at several nested levels, with everything needed to show and to judge them.

    Attributes
    ----------
    run : dict
        Contents of ``run.json``: method, parameters, seed, versions, seconds per stage, warnings.
    items : pyarrow.Table
        One row per file found, see `items_table`.
    levels : ndarray of int32, shape (n, n_levels)
        Group of each item at each level, coarsest first; every group lies inside one group of the level before.
        -1: the item belongs nowhere, or could not be read.
    confidence : ndarray of float32, shape (n,)
        In [0, 1], at the default level: share of an image's neighbors, weighted, that are in its group.
    neighbors : ndarray of int32, shape (n, k)
        Rows of the nearest other images, nearest first; -1 where there are none.
    groups : list of dict
        One entry per group of every level: ``level``, ``group``, ``size``, ``parent``, ``confidence``,
        ``prototypes`` (rows, most central first), ``odd`` (rows, least sure first); ``name`` if somebody gave one, and
        what `selfsort.photos.naming` would call it as ``suggested``. ``group`` is the label in the arrays, by size from
        0 in each run; groups of the default level of `organize` also have a ``number`` that they keep in all runs of
        the library, and a ``key``, by which its catalog knows them.
    map : ndarray of float32, shape (n, 2), optional
        Layout for display; NaN where there is none.
    embedding : ndarray of float16, shape (n, d), optional
        The encoder's features, after `learn` with those of an earlier layer behind them; zeros where the item could not
        be read.
    thumbnails : list of bytes or None, optional
        Small JPEG per item, squashed to a square.
    probabilities : ndarray of float32, shape (n, k), optional
        Share of each item in each of the method's k clusters; zeros where the item could not be read.
    merges : ndarray of int32, shape (n_finest - 1, 2), optional
        How the groups of the last level merge, see `selfsort.features.graph.merge_order`: on the way all those of the
        default level come by.
    metrics : list of dict
        How training went, one row per epoch in order: ``stage``, ``epoch`` (from 1 in each stage), ``step``, ``lr``,
        ``seconds``, and the mean of each term of the objective under its name. Empty if nothing was trained.
    figures : list of Figure
        What the method shows of itself, in this order.
    path : Path, optional
        The run folder, once saved or loaded.
    unchanged : bool
        Whether the run was there already: `organize` and `fit` found that nothing it depends on had changed.

    Notes
    -----
    Two results are equal if they hold the same, wherever their folders are.
    """

    run: dict[str, Any]
    items: pa.Table
    levels: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    neighbors: npt.NDArray[np.int32]
    groups: list[dict[str, Any]] = field(default_factory=list)
    map: npt.NDArray[np.float32] | None = None
    embedding: npt.NDArray[np.float16] | None = None
    thumbnails: list[bytes | None] | None = None
    probabilities: npt.NDArray[np.float32] | None = None
    merges: npt.NDArray[np.int32] | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    path: Path | None = None
    unchanged: bool = False

    def __repr__(self) -> str:
        n_groups = int(self.labels.max(initial=-1)) + 1
        kept = f", {str(self.path)!r}" if self.path is not None else ""
        return f"<Clusters of {counted(len(self.items), 'item')} in {counted(n_groups, 'group')}{kept}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clusters):
            return NotImplemented
        names = [each.name for each in fields(self) if each.name not in ("path", "unchanged")]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __post_init__(self) -> None:
        n = len(self.items)
        for name in ("levels", "confidence", "neighbors", "map", "embedding", "thumbnails", "probabilities"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise DataError(f"A run needs one row per item: {n} items, but {name} has {len(value)} rows.")
        if not 0 <= self.run["level"] < self.levels.shape[1]:
            raise DataError(f"The default level {self.run['level']} is none of the {self.levels.shape[1]} levels.")
        n_finest = int(self.levels[:, -1].max(initial=-1)) + 1
        if self.merges is not None and not (
            self.merges.shape == (max(0, n_finest - 1), 2) and ((self.merges >= 0) & (self.merges < n_finest)).all()
        ):
            raise DataError(
                f"{n_finest} groups of the finest level need merges of shape ({max(0, n_finest - 1)}, 2), with numbers "
                f"of these groups: got shape {self.merges.shape}."
            )
        names = [figure.name for figure in self.figures]
        if len(set(names)) < len(names):
            raise DataError(f"Each figure of a run needs a name of its own: got {', '.join(names)}.")

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """Group of each item at the default level, shape (n,); -1 for none."""
        return self.levels[:, self.run["level"]].astype(np.int64)

    @property
    def numbers(self) -> dict[int, int]:
        """Label -> number of each group of the default level: what commands show and take, and runs to come keep."""
        level = self.run["level"]
        return {int(g["group"]): int(g.get("number", g["group"])) for g in self.groups if g["level"] == level}

    @cached_property
    def ok(self) -> npt.NDArray[np.bool_]:
        """Which items could be read, shape (n,)."""
        return np.array([status == "ok" for status in self.items.column("status").to_pylist()], dtype=bool)

    def level_of(self, level: int | None) -> int:
        """Return a level that the run has, the default one for None; raises DataError."""
        level = int(self.run["level"]) if level is None else level
        if not 0 <= level < self.levels.shape[1]:
            raise DataError(f"The run has levels 0 to {self.levels.shape[1] - 1}: got level {level}.")
        return level

    def thumbnail(self, row: int) -> bytes | None:
        """Return the small JPEG of one item, squashed to a square, or None."""
        return self.thumbnails[row] if self.thumbnails is not None else None

    @checked(folder=PATH)
    def save(self, folder: str | Path) -> None:
        """Write the run folder; ``run.json`` comes last, so a folder that has one is whole.

        Parameters
        ----------
        folder : path
            Made if it is not there; files of the same names are replaced.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / "items.parquet") as path, open(path, "wb") as file:  # pyarrow wants UTF-8 names
            pq.write_table(self.items, file, compression="zstd")
        for name in ARRAYS:
            value = getattr(self, name)
            if value is not None:
                save_array(folder / f"{name}.npy", np.asarray(value))
        if self.thumbnails is not None:
            with atomic_write(folder / "thumbnails.parquet") as path, open(path, "wb") as file:
                table = pa.table({"jpeg": pa.array(self.thumbnails, pa.binary())})
                pq.write_table(table, file, compression="none", row_group_size=4096)
        if self.metrics:
            with atomic_write(folder / METRICS) as path:
                path.write_bytes(b"".join(map(_json_line, self.metrics)))
        if self.figures:
            _save_figures(folder, self.figures)
        save_json(folder / "groups.json", self.groups)
        save_json(folder / "run.json", self.run)
        self.path = folder

    @classmethod
    @checked(folder=PATH)
    def load(cls, folder: str | Path) -> Clusters:
        """Read a run folder.

        Parameters
        ----------
        folder : path

        Returns
        -------
        Clusters

        Raises
        ------
        DataError
            If the folder is not a run, is incomplete, or was written by a newer selfsort.
        """
        folder = Path(folder)
        try:
            run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except PermissionError as error:
            raise DataError(f"{error.filename} may not be read: {error.strerror}. Change its permissions.") from error
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder} is not a finished run: it has no readable run.json. Give the folder that "
                "`selfsort organize` or `selfsort fit` wrote, or run the same command again to finish it."
            ) from error
        schema = run.get("schema") if isinstance(run, dict) else None
        if not isinstance(schema, int) or not isinstance(run.get("level"), int):
            raise DataError(f"{folder} is not a run of selfsort: its run.json is of something else.")
        if schema > SCHEMA_VERSION:
            raise DataError(
                f"{folder} has run format {run['schema']}, this selfsort reads up to {SCHEMA_VERSION}. Update selfsort."
            )
        try:
            thumbnails = folder / "thumbnails.parquet"
            return cls(
                run=run,
                items=_read_table(folder / "items.parquet"),
                groups=json.loads((folder / "groups.json").read_text(encoding="utf-8")),
                thumbnails=_read_table(thumbnails).column("jpeg").to_pylist() if thumbnails.exists() else None,
                metrics=_read_metrics(folder / METRICS) if (folder / METRICS).exists() else [],
                figures=_read_figures(folder) if (folder / FIGURES).exists() else [],
                path=folder,
                **{
                    name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                    for name in ARRAYS
                    if name != "labels" and (folder / f"{name}.npy").exists()
                },
            )
        except PermissionError as error:
            raise DataError(f"{error.filename} may not be read: {error.strerror}. Change its permissions.") from error
        except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
            raise DataError(f"The run folder {folder} is damaged: {error}. Make the run again.") from error


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values of a result are the same; NaN is the same as NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        is_float = one.dtype.kind == other.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=is_float)
    return bool(one == other)


def _read_table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A thread of pyarrow that lets go of a Python file when Python is ending aborts the process. Bytes are read here.
    return pq.ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False)


def _json_line(row: Mapping[str, Any]) -> bytes:
    """Return one line of JSON; what is not finite becomes null, because JSON has no word for it."""
    plain = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        plain[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return json.dumps(plain, allow_nan=False).encode("ascii") + b"\n"


def seconds_trained(folder: Path) -> float:
    """Return how many seconds of training a folder holds; raise `ValueError` if its metrics are damaged."""
    path = folder / METRICS
    return float(sum(row["seconds"] for row in _read_metrics(path))) if path.exists() else 0.0


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path.name} does not hold one JSON object per line")
    return rows


def _save_figures(folder: Path, figures: Iterable[Figure]) -> None:
    """Write the pictures, then the list of them: it names only files that are there."""
    index = []
    (folder / "figures").mkdir(exist_ok=True)
    for figure in figures:
        with atomic_write(folder / "figures" / f"{figure.name}.png") as path:
            path.write_bytes(figure.png)
        index.append({"name": figure.name, "title": figure.title, "caption": figure.caption})
    save_json(folder / FIGURES, index)


def _read_figures(folder: Path) -> list[Figure]:
    figures = []
    for entry in json.loads((folder / FIGURES).read_text(encoding="utf-8")):
        name, title, caption = entry["name"], str(entry["title"]), str(entry["caption"])
        if not _FIGURE_NAME.fullmatch(name):  # before anything of that name is opened
            raise ValueError(f"{FIGURES} names a file {name!r}")
        try:
            figures.append(Figure(name, title, caption, (folder / "figures" / f"{name}.png").read_bytes()))
        except DataError as error:
            raise ValueError(str(error).rstrip(".")) from error
    return figures


def name_of(group: Mapping[str, Any], *, own: bool = True) -> str:
    """Return the name that somebody gave a group, unless not `own`, else the one suggested; empty if there is neither.

    >>> name_of({"name": "Rex", "suggested": {"name": "Dogs"}}), name_of({"suggested": {"name": "Dogs"}}), name_of({})
    ('Rex', 'Dogs', '')
    """
    return str((own and group.get("name")) or (group.get("suggested") or {}).get("name") or "")


def save_array(path: Path, value: npt.NDArray[Any]) -> None:
    """Write one ``.npy`` file atomically."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.save(_Plain(file.write), value, allow_pickle=False)


@dataclass(frozen=True)
class _Plain:
    """A file that numpy writes to as to any other: to one of the system's it writes so that a full disk has no name."""

    write: Callable[[Any], int]


def save_json(path: Path, value: Any) -> None:
    """Write one JSON file atomically, UTF-8; undecodable bytes of file names become surrogate escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        data = json.dumps(value, indent=1).encode("ascii")
    with atomic_write(path) as temporary:
        temporary.write_bytes(data + b"\n")
