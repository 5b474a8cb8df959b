"""Columns of a CSV file as numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selfsort.errors import DataError
from selfsort.given import decodings, read_given
from selfsort.information.columns import FloatArray


def read_columns(path: Path, names: Sequence[str]) -> FloatArray:
    """Read columns of a CSV file with a header.

    Parameters
    ----------
    path : Path
    names : sequence of str
        As the header has them.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_names)

    Raises
    ------
    DataError
        If the file cannot be read, has no such column, or a value is missing or no number: with the line.
    """
    try:
        reader = csv.reader(io.StringIO(next(decodings(read_given(path, "table"))), newline=""))
        header = [name.strip() for name in next(reader, [])]
        places = [_place(path, header, name) for name in names]
        rows = [
            [_number(path, reader.line_num, name, row, place) for name, place in zip(names, places, strict=True)]
            for row in reader
            if any(row)  # not an empty line
        ]
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}. Save it as one.") from error
    return np.array(rows, np.float64).reshape(len(rows), len(names))


def _place(path: Path, header: list[str], name: str) -> int:
    found = [place for place, other in enumerate(header) if other == name]
    if not found:
        raise DataError(f"{path} has no column {name!r}. Its first line names: {', '.join(header) or 'nothing'}.")
    if len(found) > 1:
        raise DataError(f"{path} has {len(found)} columns {name!r}. Give each a name of its own.")
    return found[0]


def _number(path: Path, line: int, name: str, row: list[str], place: int) -> float:
    text = row[place].strip() if place < len(row) else ""
    try:
        value = math.nan if "_" in text else float(text)  # Python's 1_000 is nobody else's
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    if text.lower() in ("", "na", "n/a", "nan", "null", "none"):
        raise DataError(
            f"{path}, line {line}: a value of {name!r} is missing. Leave out the rows without one, or fill them in."
        )
    raise DataError(
        f"{path}, line {line}: {name!r} must be a finite number: got {text[:40]!r}. "
        "Turn categories into columns of 0 and 1."
    )
