"""The result of a run and its folder: what every method writes and every reader reads.

A run folder is written once, as a whole, and never changed afterwards. Row i of every array belongs to
row i of ``items.parquet``; rows that could not be read have label -1 and say why in ``status``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfsort.arguments import PATH, checked
from selfsort.errors import DataError
from selfsort.files import SUMS, atomic_write
from selfsort.run_folder import (
    FIGURES,
    METRICS,
    is_figure_name,
    items_schema,
    json_line,
    read_run,
    save_array,
    save_json,
    seal_run,
)
from selfsort.run_schema import ARRAYS
from selfsort.runtime import counted

if TYPE_CHECKING:
    import pyarrow as pa

IntArray = npt.NDArray[np.int64] | npt.NDArray[np.int32]


def items_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build the items table.

    Parameters
    ----------
    rows : iterable of mappings
        With the keys of the schema: ``id`` (SHA-256 of the bytes, hexadecimal; empty if unread), ``path`` (valid
        UTF-8, for people), ``path_bytes`` (exact bytes), ``size`` in bytes, ``width`` and ``height`` in pixels after
        turning upright (0 if unknown), ``format``, ``status`` ("ok" or the reason).
    """
    import pyarrow as pa

    schema = items_schema()
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
        if not is_figure_name(self.name):  # it must not lead out of the folder
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
        """Write the run folder; its checksums come last, so a folder that has them is whole.

        Parameters
        ----------
        folder : path
            Made if it is not there; files of the same names are replaced.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SUMS).unlink(missing_ok=True)
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
                path.write_bytes(b"".join(map(json_line, self.metrics)))
        if self.figures:
            _save_figures(folder, self.figures)
        save_json(folder / "groups.json", self.groups)
        save_json(folder / "run.json", self.run)
        seal_run(folder)
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
        values = read_run(Path(folder))
        try:
            figures = [Figure(**figure) for figure in values.pop("figures")]
            return cls(**values, figures=figures, path=Path(folder))
        except DataError as error:
            raise DataError(f"The run folder {folder} is damaged: {error}") from error


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values of a result are the same; NaN is the same as NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        is_float = one.dtype.kind == other.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=is_float)
    return bool(one == other)


def _save_figures(folder: Path, figures: Iterable[Figure]) -> None:
    """Write the pictures, then the list of them: it names only files that are there."""
    index = []
    (folder / "figures").mkdir(exist_ok=True)
    for figure in figures:
        with atomic_write(folder / "figures" / f"{figure.name}.png") as path:
            path.write_bytes(figure.png)
        index.append({"name": figure.name, "title": figure.title, "caption": figure.caption})
    save_json(folder / FIGURES, index)


def name_of(group: Mapping[str, Any], *, own: bool = True) -> str:
    """Return the name that somebody gave a group, unless not `own`, else the one suggested; empty if there is neither.

    >>> name_of({"name": "Rex", "suggested": {"name": "Dogs"}}), name_of({"suggested": {"name": "Dogs"}}), name_of({})
    ('Rex', 'Dogs', '')
    """
    return str((own and group.get("name")) or (group.get("suggested") or {}).get("name") or "")
