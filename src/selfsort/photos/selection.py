"""Select pictures of a run by group, kind and time, and files that could not be read."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.corrected import Corrected, opened
from selfsort.photos.kind import kinds
from selfsort.photos.metadata import taken
from selfsort.photos.outcome import Outcome, listed, outcome
from selfsort.photos.seen import kinds_of
from selfsort.photos.state import NOWHERE

_DATE = re.compile(r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d))?)?)?)?")


def select(
    run: str | Path,
    *,
    unreadable: bool = False,
    groups: Sequence[int] = (),
    kind: Sequence[str] = (),
    before: str | None = None,
    after: str | None = None,
) -> list[dict[str, Any]]:
    """Return the pictures of a run that meet all conditions, sorted by path.

    Parameters
    ----------
    run : path
    unreadable : bool
        Only files that could not be read. By default these are included unless another condition excludes them.
    groups : sequence of int
        Numbers as `selfsort.photos.corrected.Corrected.group` takes them; -1 for pictures in no group.
    kind : sequence of str
        Names from `selfsort.photos.kind.kinds`.
    before, after : str, optional
        Local time, as ``2024``, ``2024-07``, ``2024-07-31`` or ``2024-07-31T18:30``: pictures taken before that time,
        and at or after it. A picture with only a file time is left out.

    Returns
    -------
    list of dict
        ``row``, ``path`` (readable), ``path_bytes`` (exact), ``absolute`` (exact; None inside an archive), ``status``
        ("ok" or the reason why it could not be read), ``group`` (None for none), ``name`` of the group, ``kind``,
        ``taken`` (ISO 8601), ``hidden``, ``width`` and ``height`` in pixels, ``size`` in bytes.

    Raises
    ------
    DataError
        If there is no such run, group or kind, or a date is invalid.
    """
    first, last = (_moment(name, text) for name, text in (("after", after), ("before", before)))
    if unknown := sorted(set(kind) - set(kinds())):
        raise DataError(f"There is no kind {unknown[0]!r}. There are: {', '.join(kinds())}.")
    with opened(run) as (clusters, corrected):
        now = outcome(clusters, corrected)
        wanted = _numbers(clusters, corrected, groups)
        pictures = _described(clusters, corrected, now)
    for picture in pictures:
        picture["path_bytes"] = bytes(picture["path_bytes"])
    if unreadable:
        pictures = [of for of in pictures if of["status"] != "ok"]
    if groups:
        pictures = [of for of in pictures if of["status"] == "ok" and of["group"] in wanted]
    if kind:
        pictures = [of for of in pictures if of["kind"] in kind]
    if first or last:
        pictures = [
            of
            for of in pictures
            if of["taken"]
            and (first or datetime.min) <= datetime.fromisoformat(of["taken"]).replace(tzinfo=None)
            and datetime.fromisoformat(of["taken"]).replace(tzinfo=None) < (last or datetime.max)
        ]
    return pictures


def as_json(picture: dict[str, Any]) -> dict[str, Any]:
    """Return a picture of `select` as JSON types; a path that is not UTF-8 also as ``path_base64``."""
    exact = picture["path_bytes"]
    facts = {name: value for name, value in picture.items() if name not in ("path_bytes", "absolute", "row")}
    if os.fsencode(picture["path"]) != exact:
        facts["path_base64"] = base64.b64encode(exact).decode("ascii")
    return facts


def group_of(run: str | Path, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return one group after corrections, as `selfsort.photos.outcome.listed` has it, and its pictures."""
    with opened(run) as (clusters, corrected):
        (wanted,) = _numbers(clusters, corrected, [number])
        found, _ = listed(clusters, corrected, clusters.run["level"])
    nothing = {"group": wanted, "size": 0}
    return next((group for group in found if group["group"] == wanted), nothing), select(run, groups=[number])


def _numbers(clusters: Clusters, corrected: Corrected | None, groups: Sequence[int]) -> set[int | None]:
    """Return the numbers that `Outcome` uses: a merged group has the number of the whole."""
    wanted: set[int | None] = {None} if NOWHERE in groups else set()
    for number in set(groups) - {NOWHERE}:
        if corrected is not None:
            wanted.add(corrected.numbers(corrected.state())[corrected.group(number)])
            continue
        if number not in clusters.numbers.values():
            there = ", ".join(map(str, sorted(clusters.numbers.values())))
            raise DataError(f"There is no group {number}. The groups are {there or 'none'} (see selfsort groups).")
        wanted.add(number)
    return wanted


def _described(clusters: Clusters, corrected: Corrected | None, now: Outcome) -> list[dict[str, Any]]:
    facts = corrected.catalog.facts("metadata") if corrected else {}
    mtimes = corrected.catalog.mtimes() if corrected else {}
    looks = corrected.catalog.facts("looks") if corrected else {}
    kind_of = kinds_of(clusters, looks, np.flatnonzero(clusters.ok).tolist())
    on_disk = clusters.run.get("source") in ("folder", "list")
    root = os.fsencode(str(clusters.run.get("root") or ""))
    pictures = []
    columns = ["path", "path_bytes", "status", "width", "height", "size", "id"]
    for row, item in enumerate(clusters.items.select(columns).to_pylist()):
        content, group = item.pop("id"), int(now.labels[row])
        moment = None
        if item["status"] == "ok":
            moment = taken(facts.get(content) or {}, os.fsdecode(item["path_bytes"]), mtimes.get(item["path_bytes"]))
        pictures.append(
            {
                "row": row,
                **item,
                "absolute": os.path.join(root, item["path_bytes"]) if on_disk else None,  # noqa: PTH118  (bytes)
                "group": None if group == NOWHERE else group,
                "name": now.names.get(group),
                "kind": kind_of[row][0] if row in kind_of else None,
                "taken": moment.at.isoformat() if moment and moment.source != "file" else None,
                "hidden": bool(now.hidden[row]),
            }
        )
    return pictures


def _moment(name: str, text: str | None) -> datetime | None:
    """Return the start of a year, month, day or minute."""
    if text is None:
        return None
    match = _DATE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups())
        return datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
    except ValueError:
        raise DataError(
            f"{name} must be a date such as 2024, 2024-07, 2024-07-31 or 2024-07-31T18:30: got {text!r}."
        ) from None
