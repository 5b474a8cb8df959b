"""Read and write the files of a run folder, with checksums and validation.

A run is written once, as a whole. ``SHA256SUMS`` comes last and lists the checksum of every other file. So a folder
that has it is complete, and changed files are detected.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError
from selfsort.files import SUMS, atomic_write, content_id, hash_file, read_sums, write_sums
from selfsort.run_schema import (
    ARRAYS,
    check_array,
    check_figures,
    check_groups,
    check_items,
    check_levels,
    check_metrics,
    check_run,
    parse_json,
)

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2
METRICS, FIGURES = "metrics.jsonl", "figures.json"
_FIGURE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_NEEDED = ("run.json", "items.parquet", "groups.json", "labels.npy", "levels.npy", "confidence.npy", "neighbors.npy")
#: The files of a run, without figures, which have their own folder.
RUN_FILES = {
    *_NEEDED,
    *(f"{name}.npy" for name in ARRAYS),
    "thumbnails.parquet",
    "report.html",
    METRICS,
    FIGURES,
    "model.safetensors",
    "config.json",
}
#: Larger arrays are memory-mapped: loading a run checks only their headers and sizes.
_MAPPED = 32 << 20
#: Exceptions that damaged files, or damaged content, may raise.
_DAMAGED = (OSError, ValueError, TypeError, KeyError, EOFError, OverflowError, MemoryError, NotImplementedError)


def is_figure_name(name: str) -> bool:
    """Tell whether a figure may have this name, so that its file stays inside the folder."""
    return _FIGURE_NAME.fullmatch(name) is not None


def items_schema() -> pa.Schema:
    """Return the columns of ``items.parquet``."""
    import pyarrow as pa

    return pa.schema(
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


def seal_run(folder: Path) -> None:
    """Write the checksums of a complete run folder."""
    figures = (path.relative_to(folder).as_posix() for path in folder.glob("figures/*.png"))
    write_sums(folder, [*(name for name in RUN_FILES if (folder / name).exists()), *figures])


def read_run(folder: Path) -> dict[str, Any]:
    """Read and check a run folder.

    Returns
    -------
    dict
        The fields of `selfsort.clusters.Clusters`; ``figures`` as mappings with ``name``, ``title``, ``caption`` and
        ``png``.

    Raises
    ------
    DataError
        If the folder is not a run, is incomplete or damaged, or was written by another version.
    """
    try:
        try:
            files = _Files(folder)
            run = _read_facts(folder, files)
        except FileNotFoundError as error:
            raise DataError(
                f"{folder} is not a finished run: it has no readable {Path(error.filename).name}. Give the folder that "
                "`selfsort organize` or `selfsort fit` wrote, or run the same command again to finish it."
            ) from error
        return _read_fields(run, files)
    except PermissionError as error:
        raise DataError(f"{error.filename} may not be read: {error.strerror}. Change its permissions.") from error
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(
            f"The run folder {folder} is damaged: {' '.join(str(error).split())[:300]}. Make the run again."
        ) from error


def _read_facts(folder: Path, files: _Files) -> dict[str, Any]:
    """Return ``run.json`` of a run that this version can read."""
    try:
        run = parse_json((folder / "run.json").read_bytes())  # before checksums: other versions may not have them
    except ValueError as error:
        raise DataError(
            f"{folder} is not a finished run: its run.json is damaged: {error}. Make the run again."
        ) from error
    schema, level = (run.get("schema"), run.get("level")) if isinstance(run, dict) else (None, None)
    if type(schema) is not int or type(level) is not int:
        raise DataError(f"{folder} is not a run of selfsort: its run.json is of something else.")
    if schema > SCHEMA_VERSION:
        raise DataError(
            f"{folder} has run format {schema}, this selfsort reads up to {SCHEMA_VERSION}. Update selfsort."
        )
    if schema < SCHEMA_VERSION:
        raise DataError(
            f"{folder} has run format {schema}, this selfsort reads format {SCHEMA_VERSION}. "
            "Give the command that made it again: corrections are kept."
        )
    files.read_sums()
    checked: dict[str, Any] = parse_json(files.read("run.json"))
    check_run(checked)
    return checked


def _read_fields(run: dict[str, Any], files: _Files) -> dict[str, Any]:
    lacking = [name for name in _NEEDED if name not in files]
    if lacking:
        raise ValueError(f"it has no {lacking[0]}")
    arrays = {name: files.array(name) for name in ARRAYS if f"{name}.npy" in files}
    n = len(arrays["levels"])
    for name, value in arrays.items():
        check_array(name, value, n, whole=value.nbytes <= _MAPPED or name in ("labels", "levels", "neighbors"))
    if run["level"] >= arrays["levels"].shape[1]:
        raise ValueError(f"its default level {run['level']} is none of its {arrays['levels'].shape[1]}")
    check_levels(arrays["levels"], arrays.pop("labels"), run["level"])
    items = files.table("items.parquet", n)
    check_items(items, items_schema(), run.get("source"))
    groups = parse_json(files.read("groups.json"))
    check_groups(groups, arrays["levels"])
    thumbnails = None
    if "thumbnails.parquet" in files:
        thumbnails = files.table("thumbnails.parquet", n).column("jpeg").to_pylist()
        if not all(one is None or isinstance(one, bytes) for one in thumbnails):
            raise ValueError("thumbnails.parquet does not hold pictures")
    metrics = parse_metrics(files.read(METRICS)) if METRICS in files else []
    figures = list(_read_figures(files)) if FIGURES in files else []
    fields = {"run": run, "items": items, "groups": groups, "thumbnails": thumbnails}
    return fields | {"metrics": metrics, "figures": figures} | arrays


def _read_figures(files: _Files) -> Iterator[dict[str, Any]]:
    entries = parse_json(files.read(FIGURES))
    check_figures(entries)
    for entry in entries:
        if not is_figure_name(entry["name"]):  # before a file of that name is opened
            raise ValueError(f"{FIGURES} names a file {entry['name']!r}")
        png = files.read(f"figures/{entry['name']}.png")
        yield {key: entry[key] for key in ("name", "title", "caption")} | {"png": png}


class _Files:
    """The files of a run, each verified against its checksum when it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums: dict[str, str] = {}

    def read_sums(self) -> None:
        self._sums = read_sums(self._folder)

    def __contains__(self, name: str) -> bool:
        return name in self._sums

    def read(self, name: str) -> bytes:
        """Return the content of a file after verifying its checksum."""
        try:
            data = (self._folder / name).read_bytes()
        except FileNotFoundError as error:
            raise ValueError(f"{name} is missing") from error
        if content_id(data) != self._sums.get(name):
            raise ValueError(f"{name} is not as it was written")
        return data

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return a read-only array. A large one stays on disk, and its values are not checked."""
        path = self._folder / f"{name}.npy"
        if not path.exists():
            raise ValueError(f"{path.name} is missing")
        if path.stat().st_size <= _MAPPED or name in ("labels", "levels", "neighbors"):
            data = self.read(path.name)
            dtype, shape, order, start = _npy_header(io.BytesIO(data), len(data), path.name)
            return np.frombuffer(data, dtype, offset=start).reshape(shape, order=order)  # type: ignore[call-overload]
        with open(path, "rb") as file:
            dtype, shape, order, start = _npy_header(file, path.stat().st_size, path.name)
        return np.memmap(path, dtype, "r", start, shape, order)  # type: ignore[call-overload]

    def table(self, name: str, n: int) -> pa.Table:
        """Return a table of `n` rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Bytes, not a Python file: a pyarrow thread that releases one during Python's shutdown aborts the process.
        file = pq.ParquetFile(pa.BufferReader(self.read(name)))
        if file.metadata.num_rows != n:  # before anything is decompressed
            raise ValueError(f"{name} has {file.metadata.num_rows} rows, not {n}")
        return file.read(use_threads=False)


def _npy_header(file: Any, size: int, name: str) -> tuple[np.dtype[Any], tuple[int, ...], str, int]:
    """Return dtype, shape, order and offset of the array in an ``.npy`` file. The file must end with the array."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as error:  # the header is parsed as Python, which may fail in many ways
        raise ValueError(f"{name} is no array: {error}") from error
    start, count = file.tell(), 1
    for length in shape:
        count *= int(length)
    if dtype.hasobject or min(shape, default=0) < 0 or start + count * dtype.itemsize != size:
        raise ValueError(f"{name} has {size:,} bytes, which is not what its header says")
    return dtype, shape, "F" if fortran else "C", start


def check_files(folder: Path) -> list[str]:
    """Read all files of a run. Return one line for each problem."""
    try:
        sums = read_sums(folder)
    except (OSError, ValueError) as error:
        return [f"{SUMS} cannot be read: {error}"]
    problems = []
    for name, wanted in sums.items():
        try:
            if hash_file(folder / name) != wanted:
                problems.append(f"{name} is not as it was written")
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror}")
    unlisted = sorted(name for name in RUN_FILES - sums.keys() if (folder / name).exists())
    return problems + [f"{name} was not written with the run" for name in unlisted]


def check_whole(folder: Path, name: str) -> None:
    """Verify a large array completely before results depend on it.

    Raises
    ------
    DataError
        If it is not as it was written.
    """
    try:
        if hash_file(folder / name) == read_sums(folder).get(name):
            return
    except (OSError, ValueError) as error:
        raise DataError(f"The run folder {folder} is damaged: {error}. Make the run again.") from error
    raise DataError(f"The run folder {folder} is damaged: {name} is not as it was written. Make the run again.")


def parse_metrics(data: bytes) -> list[dict[str, Any]]:
    """Return the rows of ``metrics.jsonl``; raise `ValueError` if it is damaged."""
    rows = [parse_json(line) for line in data.decode("utf-8").split("\n") if line]
    check_metrics(rows)
    return rows


def seconds_trained(folder: Path) -> float:
    """Return the seconds of training in a folder's metrics. Raises `ValueError` if they are damaged."""
    path = folder / METRICS
    return float(sum(row["seconds"] for row in parse_metrics(path.read_bytes()))) if path.exists() else 0.0


def json_line(row: Mapping[str, Any]) -> bytes:
    """Return one line of JSON. Numbers that are not finite become null, because JSON cannot represent them."""
    plain = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        plain[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return json.dumps(plain, allow_nan=False).encode("ascii") + b"\n"


def save_array(path: Path, value: npt.NDArray[Any]) -> None:
    """Write one ``.npy`` file atomically."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.save(_Plain(file.write), value, allow_pickle=False)


@dataclass(frozen=True)
class _Plain:
    """Hides from numpy that this is a system file, for which a full disk gives an error without a file name."""

    write: Callable[[Any], int]


def json_bytes(value: Any) -> bytes:
    """Return strict JSON, UTF-8; undecodable bytes of file names become surrogate escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    try:
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode("ascii") + b"\n"


def save_json(path: Path, value: Any) -> None:
    """Write one JSON file atomically, see `json_bytes`."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(json_bytes(value))
