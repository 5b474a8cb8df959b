"""Schema of the files of a run folder: types, shapes and ranges, validated when a run is loaded.

A run may come from somebody else, so nothing in it is trusted. All errors are `ValueError`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

#: Array files, with their types and numbers of axes.
ARRAYS: dict[str, tuple[type, int]] = {
    "labels": (np.int64, 1),
    "levels": (np.int32, 2),
    "confidence": (np.float32, 1),
    "embedding": (np.float16, 2),
    "neighbors": (np.int32, 2),
    "map": (np.float32, 2),
    "probabilities": (np.float32, 2),
    "merges": (np.int32, 2),
}
_LONGEST = 1 << 16  # characters of a text, bytes of a path
_LARGEST = 1 << 53  # largest integer on which JSON readers agree
_NUMBERS = re.compile("bool|u?int(8|16|32|64)|float(16|32|64)")
_CLOSE = 1e-3  # rounding may move values out of [0, 1]


def parse_json(data: bytes | str) -> Any:
    """Parse strict JSON: no duplicate names, only finite numbers of at most 64 bits, limited nesting."""
    try:
        return json.loads(
            data, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_whole, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**64:
        raise ValueError(f"a number of {len(digits)} digits is too large")
    return value


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{digits[:40]} is too large")
    return value


# --- what values may be

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    """Tell whether a value is text of limited length that may be part of a path."""
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and -_CLOSE <= value <= 1 + _CLOSE


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _map_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(_is_text, value)) and all(map(check, value.values()))


def _object(fields: Mapping[str, Check], *needed: str) -> Check:
    """Return a check of an object with these fields. Those in `needed` are required; others may be plain values."""

    def check(value: Any) -> bool:
        if not isinstance(value, dict) or not set(needed) <= value.keys():
            return False
        return all(fields.get(key, _is_plain)(part) for key, part in value.items())

    return check


def _is_plain(value: Any) -> bool:
    """Tell whether a value has only JSON types, a limited size and a limited depth."""

    def plain(part: Any, depth: int) -> bool:
        if isinstance(part, str):
            return _is_text(part)
        if isinstance(part, list | dict):
            parts = part if isinstance(part, list) else [*part, *part.values()]
            return depth < 8 and all(plain(one, depth + 1) for one in parts)
        return True

    return plain(value, 0)


_SETTINGS = _object(
    {"encoder": _maybe(_is_text), "n_neighbors": _maybe(_is_count), "granularity": _is_number, "seed": _is_count}
)
_SAMPLES = _object(
    {
        "from": lambda value: value in ("features", "pixels", "array"),
        "shape": lambda value: _list_of(_is_count)(value) and 1 <= len(value) <= 8,
        "dtype": lambda value: isinstance(value, str) and _NUMBERS.fullmatch(value) is not None,
        "range": lambda value: _list_of(_is_number)(value) and len(value) == 2,
    },
    "from",
    "shape",
    "dtype",
)
_RUN: dict[str, Check] = {
    "level": _is_count,
    "selfsort": _is_text,
    "method": _is_text,
    "params": _SETTINGS,
    "seed": _is_count,
    "root": _maybe(_is_text),
    "source": lambda value: value in (None, "folder", "list", "tar", "zip", "array"),
    "encoder": _maybe(_object({"name": _is_text, "key": _is_text, "preprocessing": _is_text}, "name")),
    "data": _maybe(_object({"name": _is_text, "split": _maybe(_is_text), "note": _maybe(_is_text), "n": _is_count})),
    "samples": _SAMPLES,
    "clusters": lambda value: _list_of(_is_count)(value) and sorted(value) == list(range(len(value))),
    "embedding_scale": lambda value: _is_number(value) and value > 0,
    "neighbor_recall": _maybe(_is_share),
    "created": _is_text,
    "seconds": _map_of(_is_number),
    "warnings": _list_of(_is_text),
    "versions": _map_of(_is_text),
    "fingerprint": _is_text,
    "scores": _map_of(_maybe(_is_number)),
    "protocol": _object({"n_scored": _is_count}, "n_scored"),
    "changes": _map_of(_is_count),
    "moved": _map_of(_is_count),
    "kinds": _map_of(_is_count),
    "learned": _object({"weight": _is_number, "modularity": _map_of(_is_number)}, "weight", "modularity"),
    "n_threads": _is_count,
    "device": _is_text,
    "precision": _is_text,
}


def check_run(run: Any) -> None:
    """Check ``run.json``. The caller has checked that it is an object, its format and its level."""
    for name, value in run.items():
        check = _is_count if name.startswith("n_") else _RUN.get(name, _is_plain)
        if not check(value):
            raise ValueError(f"run.json says {name} = {_shown(value)}, which no run does")
    if "scores" in run and "protocol" not in run:
        raise ValueError("run.json has scores without their protocol")


def check_items(items: pa.Table, schema: pa.Schema, source: str | None) -> None:
    """Check the table of files: its columns, and that no path leads out of the scanned folder."""
    import pyarrow.compute as pc

    if not items.schema.equals(schema):
        raise ValueError("items.parquet has other columns than a run")
    if any(items.column(name).null_count for name in schema.names):
        raise ValueError("items.parquet lacks values")
    if len(items) == 0:
        return
    for name in ("size", "width", "height"):
        if pc.min(items.column(name)).as_py() < 0:
            raise ValueError(f"items.parquet has a {name} below 0")
    for name in ("id", "path", "path_bytes", "format", "status"):
        if pc.max(pc.binary_length(items.column(name))).as_py() > _LONGEST:
            raise ValueError(f"items.parquet has a {name} of more than {_LONGEST:,} bytes")
    if not pc.all(pc.match_substring_regex(items.column("id"), "^[0-9a-f]{0,64}$")).as_py():
        raise ValueError("items.parquet has an id that is none")
    if source not in ("folder", "list"):
        return  # members of an archive, or arrays: these names open nothing
    suspects = pc.or_(
        pc.match_substring_regex(items.column("path_bytes"), r"(^|[/\\])\.\.($|[/\\])|\x00"),
        pc.match_substring_regex(items.column("path_bytes"), r"^([/\\]|[A-Za-z]:)"),
    )
    for path in items.column("path_bytes").filter(suspects).to_pylist():
        if b"\0" in path or _leaves(os.fsdecode(path), by_drive=source == "list"):
            raise ValueError(f"items.parquet has a path that leads out of its folder: {path[:100]!r}")


def _leaves(name: str, *, by_drive: bool) -> bool:
    """Tell whether a path leaves the folder that it is relative to. A list may span several drives."""
    if os.name != "nt":
        return name.startswith("/") or ".." in PurePosixPath(name).parts
    path = PureWindowsPath(name)
    return ".." in path.parts or (bool(path.anchor) and not (by_drive and path.is_absolute()))


def check_array(name: str, value: npt.NDArray[Any], n: int, *, whole: bool = True) -> None:
    """Check one array of a run of `n` items, with its values if `whole`."""
    dtype, ndim = ARRAYS[name]
    if value.dtype != dtype or value.ndim != ndim or (name != "merges" and len(value) != n):
        raise ValueError(
            f"{name}.npy is {value.dtype} of shape {value.shape}, not {np.dtype(dtype)} with {ndim} axes and {n} rows"
        )
    if name in ("map", "merges") and value.shape[1] != 2:
        raise ValueError(f"{name}.npy has {value.shape[1]} columns, not 2")
    if name == "levels" and value.shape[1] < 1:
        raise ValueError("levels.npy has no level")
    if not whole or value.size == 0:
        return
    if name in ("confidence", "probabilities"):
        known = value[~np.isnan(value)] if name == "confidence" else value
        fine = bool(((known >= -_CLOSE) & (known <= 1 + _CLOSE)).all())
    elif name in ("map", "embedding"):
        fine = not bool(np.isinf(value).any() if name == "map" else not np.isfinite(value).all())
    else:
        fine = bool(((value >= -1) & (value < n)).all())
    if not fine:
        raise ValueError(f"{name}.npy has values out of its range")


def check_levels(levels: npt.NDArray[Any], labels: npt.NDArray[Any], level: int) -> None:
    """Check that levels are nested and that the default level equals the labels."""
    for coarse, fine in zip(levels.T[:-1], levels.T[1:], strict=True):
        n_fine = int(fine.max(initial=-1)) + 1
        parent = np.full(n_fine, -1, np.int64)
        inside = fine >= 0
        parent[fine[inside]] = coarse[inside]
        if (parent[fine[inside]] != coarse[inside]).any():
            raise ValueError("levels.npy has a group that lies in two groups of the level before")
    if not np.array_equal(levels[:, level], labels):
        raise ValueError("labels.npy is not the default level of levels.npy")


_REASON = _object({"source": _is_text, "term": _is_text, "share": _is_share, "elsewhere": _is_share}, "term", "share")
_SUGGESTED = _object(
    {"name": _is_text, "evidence": _list_of(_REASON), "alternatives": _list_of(_is_text)}, "name", "evidence"
)


def check_groups(groups: Any, levels: npt.NDArray[Any]) -> None:
    """Check the list of groups against the groups of the items."""
    n = len(levels)
    counts = [int(level.max(initial=-1)) + 1 for level in levels.T]
    rows = _list_of(lambda row: _is_integer(row) and 0 <= row < n)
    fields: dict[str, Check] = {
        "level": lambda value: _is_integer(value) and 0 <= value < len(counts),
        "group": _is_count,
        "size": lambda value: _is_integer(value) and 0 <= value <= n,
        "parent": _maybe(_is_count),
        "confidence": _maybe(_is_share),
        "prototypes": rows,
        "odd": rows,
        "name": _maybe(_is_text),
        "suggested": _maybe(_SUGGESTED),
        "kind": _maybe(_is_text),
        "key": _maybe(_is_integer),
        "number": _maybe(_is_count),
    }
    check = _object(fields, "level", "group", "size", "parent", "confidence", "prototypes", "odd")
    if not isinstance(groups, list):
        raise ValueError("groups.json is no list")
    seen = set()
    for group in groups:
        if not check(group):
            raise ValueError(f"groups.json has an entry that is no group: {_shown(group)}")
        level, number, parent = group["level"], group["group"], group["parent"]
        if number >= counts[level] or (level, number) in seen:
            raise ValueError(f"groups.json has group {number} of level {level}, which is not there or there twice")
        if parent is not None and (level == 0 or parent >= counts[level - 1]):
            raise ValueError(f"groups.json puts group {number} of level {level} into {parent}, which is not there")
        seen.add((level, number))


def check_metrics(rows: Sequence[Any]) -> None:
    """Check the metrics of training."""
    fields: dict[str, Check] = {"stage": _is_text, "epoch": _is_count, "step": _is_count, "seconds": _is_number}
    check = _object(fields)
    if not rows or not all(map(check, rows)):
        raise ValueError("metrics.jsonl does not hold one JSON object per line, with numbers by name")


def check_figures(entries: Any) -> None:
    """Check the list of figures."""
    check = _object(dict.fromkeys(("name", "title", "caption"), _is_text), "name", "title", "caption")
    if not isinstance(entries, list) or not all(map(check, entries)):
        raise ValueError("figures.json is no list of figures")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
