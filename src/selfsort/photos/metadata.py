"""When and where a picture was taken, and with what: from what is in the file, from its name, or from its time.

Times are local, as a clock on the wall would have shown them; the offset from UTC is kept where it is known. Every
answer names its source, and how exact it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.images import PictureFile
from selfsort.photos import embedded
from selfsort.photos.dates import Date, read_date, read_offset
from selfsort.photos.dates_in_names import date_in_name
from selfsort.photos.embedded import Embedded

#: Raise when the same file would give other facts.
VERSION = 2
_MAKE, _MODEL, _SOFTWARE = 0x010F, 0x0110, 0x0131
_ORIGINAL, _DIGITIZED, _CHANGED = 0x9003, 0x9004, 0x0132
_OFFSETS = {_ORIGINAL: 0x9011, _DIGITIZED: 0x9012, _CHANGED: 0x9010}
_HOURS_FROM_UTC = 0x882A
_IPTC_CREATED, _IPTC_DIGITIZED = (55, 60), (62, 63)
_EXPOSURE, _F_NUMBER, _ISO, _FOCAL_LENGTH, _LENS = 0x829A, 0x829D, 0x8827, 0x920A, 0xA434
_MAX_TEXT = 100
#: Seconds between pictures within which they are one burst, and the bounds of a gap between events.
BURST_SECONDS = 2.0
_GAP_SECONDS = (1800.0, 86400.0)
#: A gap ends an event if it is so many times longer than those around it; so many of them count.
_GAP_RATIO, _GAP_WINDOW = 17.0, 10


@dataclass(frozen=True)
class Taken:
    """When a picture was taken.

    Attributes
    ----------
    at : datetime
        Local time; aware where the offset is known.
    source : str
        ``"exif"``, ``"xmp"``, ``"iptc"`` or ``"png"``: where it stands in the file; ``"name"``; ``"changed"`` for the
        time at which a program wrote the file; ``"file"`` for when the file was last changed.
    precision : str
        ``"second"``, ``"minute"``, ``"day"``, ``"month"`` or ``"year"``; what is not known is the earliest possible.
    """

    at: datetime
    source: str
    precision: str


def read_metadata(data: bytes | PictureFile) -> dict[str, Any]:
    """Return what a file says of how its picture was taken, as JSON's types.

    ``date`` (ISO 8601, local), ``offset`` (minutes from UTC), ``date_source`` and ``date_precision`` (see `Taken`; left
    out for EXIF and for seconds), ``changed`` (when a program wrote it, where there is no date), ``latitude``,
    ``longitude`` (degrees), ``altitude`` (meters), ``make``, ``model``, ``lens``, ``software``, ``exposure`` (seconds),
    ``f_number``, ``iso``, ``focal_length`` (millimeters). What is absent, damaged or impossible is left out.
    """
    file = Embedded(data)
    exif = file.exif
    facts = _when(file)
    facts |= _position(file.gps) or _xmp_position(file)
    for name, tag in (("make", _MAKE), ("model", _MODEL), ("software", _SOFTWARE), ("lens", _LENS)):
        facts |= _only(name, _text(exif.get(tag)))
    for name, tag in (
        ("exposure", _EXPOSURE),
        ("f_number", _F_NUMBER),
        ("iso", _ISO),
        ("focal_length", _FOCAL_LENGTH),
    ):
        value = exif.get(tag)
        number = _number(value[0] if isinstance(value, tuple) and value else value)
        facts |= _only(name, number if number is not None and number > 0 else None)
    return facts


def camera(facts: Mapping[str, Any]) -> str:
    """Return the camera that facts of `read_metadata` name, without the maker if the model repeats it.

    >>> camera({"make": "Canon", "model": "Canon EOS 40D"}), camera({"make": "SONY", "model": "DSC-RX100"})
    ('Canon EOS 40D', 'SONY DSC-RX100')
    >>> camera({"make": "NIKON CORPORATION", "model": "NIKON D70"})
    'NIKON D70'
    """
    make, model = (str(facts.get(name, "")) for name in ("make", "model"))
    words = [re.findall(r"[^\W_]+", text.casefold()) for text in (make, model)]
    if words[1] and words[1][0] in words[0]:
        return model
    return " ".join(filter(None, (make, model)))


def taken(facts: Mapping[str, Any], path: str, mtime_ns: int | None, *, now: datetime | None = None) -> Taken | None:
    """Return when a picture was taken: by what is in it, else by its file's name, else by when it was changed.

    Parameters
    ----------
    facts : mapping
        From `read_metadata`.
    path : str
    mtime_ns : int, optional
        When the file was last changed.
    now : datetime, optional
        Names that lie in the future are not believed.
    """
    precision = facts.get("date_precision", "second")
    if "date" in facts:
        at = _with_offset(datetime.fromisoformat(facts["date"]), facts.get("offset"))
        return Taken(at, facts.get("date_source", "exif"), precision)
    latest = (now or datetime.now()) + timedelta(days=1)
    named = time_of_name(path.rpartition("/")[2])
    if named is not None and named.at.replace(tzinfo=None) <= latest:
        return named
    if "changed" in facts:
        return Taken(datetime.fromisoformat(facts["changed"]), "changed", precision)
    if mtime_ns is not None and mtime_ns > 0:
        try:
            return Taken(datetime.fromtimestamp(mtime_ns / 1e9).replace(microsecond=0), "file", "second")
        except (OverflowError, OSError, ValueError):  # a time that no calendar has
            return None
    return None


def time_of_name(name: str) -> Taken | None:
    """Return the time that a file's name tells, see `selfsort.photos.dates_in_names`; one in the future, too.

    >>> time_of_name("IMG_20190601_123310.jpg").at.isoformat()
    '2019-06-01T12:33:10'
    >>> time_of_name("PXL_20190601_123310123.jpg").at.isoformat()
    '2019-06-01T12:33:10+00:00'
    """
    date = date_in_name(name)
    return Taken(_with_offset(date.at, date.offset), "name", date.precision) if date else None


def events(seconds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Divide pictures into events by the gaps between them, numbered from the earliest.

    A gap ends an event if it is many times longer than the gaps around it (by their geometric mean), from half an hour
    on, and always from a day on.

    Parameters
    ----------
    seconds : array-like, shape (n,)
        Time of each, in any order; NaN if it is not known.

    Returns
    -------
    ndarray of int64, shape (n,)
        -1 where the time is not known.

    References
    ----------
    Platt, Czerwinski & Field, "PhotoTOC: automatic clustering for browsing personal photographs", 2003.
    """
    seconds = np.asarray(seconds, np.float64)
    event = np.full(len(seconds), -1, np.int64)
    known = np.flatnonzero(np.isfinite(seconds))
    if not len(known):
        return event
    order = known[np.argsort(seconds[known], kind="stable")]
    gaps = np.diff(seconds[order])
    logs = np.log(np.maximum(gaps, 1.0))
    sums = np.concatenate([[0.0], np.cumsum(logs)])
    first = np.maximum(np.arange(len(gaps)) - _GAP_WINDOW, 0)
    last = np.minimum(np.arange(len(gaps)) + _GAP_WINDOW + 1, len(gaps))
    around = (sums[last] - sums[first]) / np.maximum(last - first, 1)
    limit = np.clip(np.exp(around) * _GAP_RATIO, *_GAP_SECONDS)
    event[order] = np.concatenate([[0], np.cumsum(gaps >= limit)])
    return event


def _with_offset(at: datetime, offset: int | None) -> datetime:
    return at if offset is None else at.replace(tzinfo=timezone(timedelta(minutes=offset)))


def _when(file: Embedded) -> dict[str, Any]:
    """Return when the picture was taken, or else when a program last wrote it."""
    for source, date in _dates(file):
        if date is not None:
            facts = {"date": date.at.isoformat()} | _only("offset", date.offset)
            facts |= {"date_source": source} if source != "exif" else {}
            break
    else:
        date = _exif_date(file.exif, _CHANGED) or read_date(file.xmp.get(embedded.MODIFIED, ""))
        facts = {"changed": date.at.isoformat()} if date is not None else {}
    if date is not None and date.precision != "second":
        facts["date_precision"] = date.precision
    return facts


def _dates(file: Embedded) -> Iterator[tuple[str, Date | None]]:
    """Yield what says when the picture was taken, then when it became a file; where both are told, these may differ.

    The order is that of the Metadata Working Group's guidelines (2010), but that EXIF goes first of each.
    """
    yield "exif", _exif_date(file.exif, _ORIGINAL)
    yield "xmp", read_date(file.xmp.get(embedded.ORIGINAL, ""))
    yield "xmp", read_date(file.xmp.get(embedded.CREATED, ""))
    yield "iptc", _iptc_date(file.iptc, *_IPTC_CREATED)
    yield "exif", _exif_date(file.exif, _DIGITIZED)
    yield "xmp", read_date(file.xmp.get(embedded.DIGITIZED, ""))
    yield "xmp", read_date(file.xmp.get(embedded.WRITTEN, ""))
    yield "iptc", _iptc_date(file.iptc, *_IPTC_DIGITIZED)
    yield "exif", _satellite_date(file.gps)
    yield "png", read_date(_text(file.creation_time) or "")


def _exif_date(exif: Mapping[int, Any], tag: int) -> Date | None:
    date = read_date(_text(exif.get(tag)) or "")
    if date is None or date.offset is not None or date.precision not in ("second", "minute"):
        return date
    offset = read_offset(_text(exif.get(_OFFSETS[tag])))
    if offset is None and _text(exif.get(tag)) == _text(exif.get(_CHANGED)):
        offset = read_offset(_text(exif.get(_OFFSETS[_CHANGED])))
    if offset is None and tag == _ORIGINAL:
        hours = exif.get(_HOURS_FROM_UTC)
        number = _number(hours[0] if isinstance(hours, tuple) and hours else hours)
        offset = int(number * 60) if number is not None and abs(number) <= 14 else None
    return Date(date.at, date.precision, offset)


def _iptc_date(iptc: Mapping[int, str], day: int, clock: int) -> Date | None:
    said = _text(iptc.get(day)) or ""
    return read_date(f"{said} {_text(iptc.get(clock)) or ''}") if said else None


def _satellite_date(gps: Mapping[int, Any]) -> Date | None:
    """Return the time of the satellites, which is UTC."""
    clock = gps.get(7)
    numbers = [_number(part) for part in clock] if isinstance(clock, tuple) and len(clock) == 3 else []
    said = [int(number) for number in numbers if number is not None and number >= 0]
    if len(said) < 3:
        return None
    return read_date(f"{_text(gps.get(0x1D)) or ''} {said[0]}:{said[1]}:{said[2]} Z")


def _only(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    text = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return text[:_MAX_TEXT] or None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _position(gps: Mapping[int, Any]) -> dict[str, float]:
    facts = _place(_degrees(gps.get(2), gps.get(1), 90), _degrees(gps.get(4), gps.get(3), 180))
    return facts | _altitude(_number(gps.get(6)), gps.get(5) in (1, b"\x01")) if facts else {}


def _xmp_position(file: Embedded) -> dict[str, float]:
    place = (_xmp_degrees(file.xmp.get(name, ""), limit) for name, limit in _XMP_PLACE)
    facts = _place(*place)
    top, _, bottom = file.xmp.get(embedded.ALTITUDE, "").partition("/")
    over = [_number(top), _number(bottom or 1)]
    meters = over[0] / over[1] if over[0] is not None and over[1] else None
    return facts | _altitude(meters, file.xmp.get(embedded.BELOW_SEA) == "1") if facts else {}


_XMP_PLACE = ((embedded.LATITUDE, 90), (embedded.LONGITUDE, 180))


def _place(latitude: float | None, longitude: float | None) -> dict[str, float]:
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return {}
    return {"latitude": latitude, "longitude": longitude}


def _altitude(meters: float | None, below: bool) -> dict[str, float]:
    if meters is None or abs(meters) >= 20_000:
        return {}
    return {"altitude": -abs(meters) if below else meters}


def _degrees(value: Any, reference: Any, limit: float) -> float | None:
    """Return degrees of degrees, minutes and seconds; the sign may stand at the degrees, or south and west beside."""
    if isinstance(value, (str, bytes)):
        return _xmp_degrees(f"{_text(value) or ''}{(_text(reference) or '')[:1]}", limit)
    parts: Sequence[Any] = value if isinstance(value, (tuple, list)) else (value,)
    numbers = [_number(part) for part in parts[:3]]
    if not numbers or numbers[0] is None or any(number is None or number < 0 for number in numbers[1:]):
        return None
    degrees = sum(abs(number) / 60**power for power, number in enumerate(numbers) if number is not None)
    if degrees > limit:
        return None
    south_or_west = (_text(reference) or "").upper().startswith(("S", "W")) or math.copysign(1, numbers[0]) < 0
    return round(-degrees if south_or_west else degrees, 6)


def _xmp_degrees(text: str, limit: float) -> float | None:
    """Return degrees as XMP has them: ``47,30.0N``, ``47,30,0N``; or with a sign."""
    match = re.fullmatch(r"([+-]?[0-9.]+)(?:,([0-9.]+))?(?:,([0-9.]+))?\s*([NSEWnsew])?", text.strip())
    if match is None:
        return None
    return _degrees([part for part in match.groups()[:3] if part], match[4], limit)
