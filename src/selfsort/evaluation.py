"""Score a finished run against labels it never saw, and say under which protocol.

Labels come in here and nowhere else. A score without its protocol is not a result, so the two stay together.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort import metrics
from selfsort.arguments import WHOLE, checked, of, optional
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.given import decodings, read_given

FOLDERS = "folders"
#: Where labels come from: the word "folders", a CSV file, or one label per item.
Labels = str | Path | npt.NDArray[Any]
NOT_SCORED = {"0", "0.0", "false", "no"}  # values of the column `eval` that leave a picture out


@dataclass(frozen=True)
class Evaluation:
    """Scores with their protocol.

    Attributes
    ----------
    scores : dict
        See `selfsort.metrics.score_all`.
    protocol : dict
        What was scored, what was left out and why, and how each number is defined.
    confusion : ndarray of float64, shape (n_classes, n_clusters)
        Each row sums to 1, see `selfsort.metrics.confusion_matrix`.
    classes : list of str
        Names of its rows.
    clusters : list of int
        Names of its columns; -1 are the items that belong nowhere.
    """

    scores: dict[str, float | int]
    protocol: dict[str, Any]
    confusion: npt.NDArray[np.float64]
    classes: list[str]
    clusters: list[int]

    def to_json(self) -> str:
        """Return scores and protocol as JSON text."""
        return json.dumps({"scores": self.scores, "protocol": self.protocol}, ensure_ascii=False, indent=2)


@dataclass(frozen=True)
class _Labels:
    """What a label source says about the rows of a run."""

    labels: dict[int, str]  # row -> label, of the rows to score
    not_scored: set[int]  # rows with eval = 0
    n_without_picture: int  # labels that belong to no picture of the run


def read_labels(source: Labels, clusters: Clusters) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Read the true labels of a run's items.

    Parameters
    ----------
    source : str, Path, or array of shape (n,)
        ``"folders"``: the name of the folder that each picture is in; pictures directly in the root have none.
        Otherwise a CSV file with a header, a column ``path`` or ``file`` (relative to the scanned folder or inside the
        archive, or absolute) and a column ``label``. A column ``eval`` may leave rows out: 0, false or no. An array has
        one label per item; numbers below 0 are none.
    clusters : Clusters

    Returns
    -------
    rows : int64 array, shape (n_labeled,)
        Rows of the run that have a label, ascending.
    labels : str array, shape (n_labeled,)

    Raises
    ------
    DataError
        If the file is missing or lacks a column, if no row of it belongs to a picture of the run, or if it gives one
        picture two labels; if an array has not one label per item.
    """
    found = _find_labels(source, clusters).labels
    rows = sorted(found)
    return np.array(rows, dtype=np.int64), np.array([found[row] for row in rows], dtype=np.str_)


def check_labels(source: Labels) -> None:
    """Raise `DataError` if a label source cannot work, whatever the pictures; for use before long work."""
    if isinstance(source, (str, Path)) and source != FOLDERS:
        _read_csv(Path(source))


@checked(clusters=of(Clusters, "a Clusters, such as Clusters.load(run)"), level=optional(WHOLE))
def evaluate(clusters: Clusters, labels: Labels, *, level: int | None = None) -> Evaluation:
    """Score a run against true labels.

    Every readable picture that has a label is scored, also when the run put it nowhere.

    Parameters
    ----------
    clusters : Clusters
    labels : str, Path or array
        See `read_labels`.
    level : int, optional
        Index of the level, 0 the coarsest; the run's default level if not given.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        As `read_labels`; if the level does not exist; if no labeled picture could be read.
    """
    default = int(clusters.run["level"])
    level = clusters.level_of(level)
    found = _find_labels(labels, clusters)
    labeled = np.zeros(len(clusters.items), dtype=bool)
    labeled[list(found.labels)] = True
    rows = np.flatnonzero(labeled & clusters.ok)
    if len(rows) == 0:
        raise DataError(f"None of the {labeled.sum()} labeled pictures could be read, so there is nothing to score.")
    truth = np.array([found.labels[row] for row in rows.tolist()])
    groups = np.asarray(clusters.levels[:, level]).astype(np.int64)
    scores = metrics.score_all(
        truth,
        groups[rows],
        confidence=clusters.confidence[rows] if level == default else None,  # confidence is of the default level
        neighbors=_among(rows, clusters.neighbors),
    )
    confusion, classes, columns = metrics.confusion_matrix(truth, groups[rows])
    left_out = {
        "eval=0": len(found.not_scored),
        "no label": int(len(labeled) - labeled.sum() - len(found.not_scored)),
        "unreadable": int((labeled & ~clusters.ok).sum()),
    }
    n_groups = len(np.unique(groups[groups >= 0]))
    protocol = _protocol(clusters, labels, level) | {
        "n_items": len(labeled),
        "n_scored": len(rows),
        "left_out": left_out,
        "labels_without_picture": found.n_without_picture,
        "n_groups": n_groups,
    }
    return Evaluation(scores, protocol, confusion, [str(name) for name in classes], [int(c) for c in columns])


def _protocol(clusters: Clusters, labels: Labels, level: int) -> dict[str, Any]:
    """Say how each number is to be read; everything here is fixed before the labels are."""
    run = clusters.run
    fit = "on the same pictures that are scored (transductive); labels were not seen by the run"
    data = run.get("root")
    if not data and run.get("data"):
        data = "/".join(str(run["data"][key]) for key in ("name", "split") if run["data"].get(key))
        fit = f"fit and scored on {data}, labels unseen"
    if not isinstance(labels, (str, Path)):
        source = f"of {data}" if data else "given with the data"
    else:
        source = "name of the folder each picture is in" if labels == FOLDERS else str(labels)
    known = {"data": data, "labels": source, "method": run.get("method"), "encoder": run.get("encoder")}
    return {name: value for name, value in known.items() if value} | {
        "seed": run.get("seed"),
        "level": level,
        "level_chosen": "the run's default" if level == run["level"] else "asked for",
        "fit": fit,
        "unassigned": "pictures that belong nowhere are scored as one cluster, never dropped",
        "acc": "one-to-one (Hungarian); acc_many_to_one names each cluster by its most frequent class (purity)",
        "nmi": "arithmetic mean; nmi_geometric is the older variant; ami is arithmetic",
        "neighbor_purity": "share of the k nearest neighbors with the same label, unscored neighbors not counted",
        "ece": "15 equal bins, correct under the many-to-one naming",
    }


def _among(rows: npt.NDArray[np.int64], neighbors: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Renumber neighbors to positions in `rows`; a neighbor that is not among them becomes -1."""
    position = np.full(len(neighbors) + 1, -1, dtype=np.int64)  # the last entry serves the neighbor -1
    position[rows] = np.arange(len(rows))
    return position[np.asarray(neighbors)[rows]]


def _find_labels(source: Labels, clusters: Clusters) -> _Labels:
    if not isinstance(source, (str, Path)):
        return _array_labels(np.asarray(source), clusters)
    if source == FOLDERS:
        return _folder_labels(clusters)
    return _csv_labels(Path(source), clusters)


def _array_labels(labels: npt.NDArray[Any], clusters: Clusters) -> _Labels:
    n = len(clusters.items)
    if labels.shape != (n,) or labels.dtype.kind not in "iubU":
        raise DataError(
            f"Labels must be one whole number or text per item, shape ({n},): got {labels.dtype} of {labels.shape}."
        )
    known = labels >= 0 if labels.dtype.kind == "i" else np.ones(n, bool)
    return _Labels({int(row): str(labels[row]) for row in np.flatnonzero(known)}, set(), 0)


def _folder_labels(clusters: Clusters) -> _Labels:
    paths = [path.split("/") for path in clusters.items.column("path").to_pylist()]
    labels = {row: parts[-2] for row, parts in enumerate(paths) if len(parts) > 1}
    if not labels:
        raise DataError(
            f"The {len(paths)} pictures lie directly in {clusters.run.get('root')}, so their folders give no labels. "
            "Put each class into a folder, or give a CSV file with the columns path and label."
        )
    return _Labels(labels, set(), 0)


def _csv_labels(source: Path, clusters: Clusters) -> _Labels:
    """Match the rows of a CSV file with the rows of the run."""
    row_of = _rows_by_path(clusters)
    root = str(clusters.run.get("root") or "")
    table, path_column = _read_csv(source, lambda path: _find_row(path, row_of, root) is not None)
    labels: dict[int, str] = {}
    not_scored: set[int] = set()
    strangers: list[str] = []
    for entry in table:
        path, label = entry[path_column] or "", _printable((entry["label"] or "").strip())
        row = _find_row(path, row_of, root)
        if row is None:
            strangers.append(path)
        elif (entry.get("eval") or "").strip().lower() in NOT_SCORED:
            not_scored.add(row)
        elif label and labels.setdefault(row, label) != label:
            raise DataError(
                f"{source} gives {_printable(path)} two labels, {labels[row]!r} and {label!r}. Keep one of them."
            )
    if not labels and not not_scored:
        seen = repr(_printable(strangers[0])) if strangers else "no row with a label"
        known = next(iter(clusters.items.column("path").to_pylist()), None)
        raise DataError(
            f"No label in {source} belongs to a picture of the run: the file has {seen}, the run has {known!r}. "
            + (f"Paths must be relative to {root}." if root else "Name them as the run does.")
        )
    return _Labels({row: label for row, label in labels.items() if row not in not_scored}, not_scored, len(strangers))


def _read_csv(source: Path, is_known: Callable[[str], bool] | None = None) -> tuple[list[dict[str, str]], str]:
    """Return the rows as dicts, and the name of the column that holds the paths.

    Of several encodings that a file may be in, that counts in which most of its paths are known.
    """
    tables, problems = [], []
    for text in decodings(read_given(source, "label file")):
        try:
            tables.append(_parsed(source, text))
        except DataError as error:
            problems.append(error)
    if not tables:
        raise problems[0]
    if is_known is None or len(tables) == 1:
        return tables[0]
    return max(tables, key=lambda table: sum(is_known(row[table[1]] or "") for row in table[0]))  # the first of equals


def _parsed(source: Path, text: str) -> tuple[list[dict[str, str]], str]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
        columns = [(name or "").strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"The label file {source} is not a CSV file: {error}.") from error
    path_column = next((name for name in ("path", "file") if name in columns), None)
    if path_column is None or "label" not in columns:
        raise DataError(
            f"The label file {source} needs a header with a column 'path' or 'file', and a column 'label': "
            f"it has {[_printable(name) for name in columns[:12]]}."
        )
    return rows, path_column


def _rows_by_path(clusters: Clusters) -> dict[str, int]:
    """Index the rows by their path, as people see it and exactly as it is; the exact one wins."""
    shown = clusters.items.column("path").to_pylist()
    exact = [os.fsdecode(path) for path in clusters.items.column("path_bytes").to_pylist()]
    return {path: row for row, path in enumerate(shown)} | {path: row for row, path in enumerate(exact)}


def _find_row(path: str, row_of: dict[str, int], root: str) -> int | None:
    """Find a picture by its path as written, then with the separators, ``./`` and root of other programs undone."""
    if path in row_of:
        return row_of[path]
    plain = path.strip().replace("\\", "/")
    folder = root.replace("\\", "/").rstrip("/") + "/"
    if root and plain.startswith(folder):
        plain = plain[len(folder) :]
    while plain.startswith("./"):
        plain = plain[2:]
    return row_of.get(plain)


def _printable(text: str) -> str:
    r"""Return text that can be written as UTF-8: bytes that were not, as ``\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
