"""When and where a picture was taken, and with what: from EXIF, from the file's name, or from the file's time.

Times are local, as a clock on the wall would have shown them; the offset from UTC is kept where it is known. Every
answer names its source, and how exact it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.images import PictureFile, read_exif

#: Raise when the same file would give other facts.
VERSION = 1
_EXIF, _GPS = 0x8769, 0x8825
_MAKE, _MODEL, _SOFTWARE, _CHANGED = 0x010F, 0x0110, 0x0131, 0x0132
#: (time, its offset from UTC), the best first
_TIMES = ((0x9003, 0x9011), (0x9004, 0x9012))
_EXPOSURE, _F_NUMBER, _ISO, _FOCAL_LENGTH, _LENS = 0x829A, 0x829D, 0x8827, 0x920A, 0xA434
_EARLIEST = 1826  # the year of the oldest photograph
_MAX_TEXT = 100

_DAY = r"(?P<y>(?:19|20)\d\d)(?P<s>[-_. ]?)(?P<m>0[1-9]|1[0-2])(?P=s)(?P<d>0[1-9]|[12]\d|3[01])"
_HOUR = r"(?P<H>[01]\d|2[0-3]|\d(?=[.:h]))"
_CLOCK = rf"{_HOUR}(?P<t>[-_.:h]?)(?P<M>[0-5]\d)(?:(?P=t)(?P<S>[0-5]\d))?(?:\d{{3}})?(?:[ \u202f]?(?P<half>[AP])M)?"
_NAMED = re.compile(rf"(?<!\d){_DAY}(?:(?:[-_. T]|_at_| at |(?<=\d{{8}})){_CLOCK})?(?!\d)", re.ASCII)
_MILLISECONDS = re.compile(r"(?<!\d)(1[0-9]{12})(?!\d)", re.ASCII)
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
        ``"exif"``; ``"name"``; ``"changed"`` for the time a program gives in EXIF; ``"file"`` for when the file was
        last changed.
    precision : str
        ``"second"``, ``"minute"`` or ``"day"``.
    """

    at: datetime
    source: str
    precision: str


def read_metadata(data: bytes | PictureFile) -> dict[str, Any]:
    """Return what a file says of how its picture was taken, as JSON's types.

    ``date`` (ISO 8601, local), ``offset`` (minutes from UTC), ``changed`` (when a program wrote it, where there is no
    date), ``latitude``, ``longitude`` (degrees), ``altitude`` (meters), ``make``, ``model``, ``lens``, ``software``,
    ``exposure`` (seconds), ``f_number``, ``iso``, ``focal_length`` (millimeters). What is absent, damaged or impossible
    is left out.
    """
    exif = read_exif(data)
    facts: dict[str, Any] = {}
    inner = _part(exif, _EXIF)
    for time_tag, offset_tag in _TIMES:
        date = _exif_time(inner.get(time_tag))
        if date:
            facts["date"] = date.isoformat()
            facts |= _only("offset", _exif_offset(inner.get(offset_tag)))
            break
    else:
        changed = _exif_time(exif.get(_CHANGED))
        facts |= _only("changed", changed and changed.isoformat())
    facts |= _position(_part(exif, _GPS))
    for name, value in (
        ("make", exif.get(_MAKE)),
        ("model", exif.get(_MODEL)),
        ("software", exif.get(_SOFTWARE)),
        ("lens", inner.get(_LENS)),
    ):
        facts |= _only(name, _text(value))
    for name, tag in (
        ("exposure", _EXPOSURE),
        ("f_number", _F_NUMBER),
        ("iso", _ISO),
        ("focal_length", _FOCAL_LENGTH),
    ):
        value = inner.get(tag)
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
    """Return when a picture was taken: by its EXIF, else by its file's name, else by when it was changed.

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
    if "date" in facts:
        at = datetime.fromisoformat(facts["date"])
        if "offset" in facts:
            at = at.replace(tzinfo=timezone(timedelta(minutes=facts["offset"])))
        return Taken(at, "exif", "second")
    latest = (now or datetime.now()) + timedelta(days=1)
    named = time_of_name(path.rpartition("/")[2])
    if named is not None and named.at.replace(tzinfo=None) <= latest:
        return named
    if "changed" in facts:
        return Taken(datetime.fromisoformat(facts["changed"]), "changed", "second")
    if mtime_ns is not None and mtime_ns > 0:
        try:
            return Taken(datetime.fromtimestamp(mtime_ns / 1e9).replace(microsecond=0), "file", "second")
        except (OverflowError, OSError, ValueError):  # a time that no calendar has
            return None
    return None


def time_of_name(name: str) -> Taken | None:
    """Return the time that a file's name tells.

    >>> time_of_name("IMG_20190601_123310.jpg").at.isoformat()
    '2019-06-01T12:33:10'
    >>> time_of_name("IMG-20190601-WA0001.jpg").precision
    'day'
    >>> time_of_name("IMG_1234.jpg") is None
    True
    """
    for match in _NAMED.finditer(name):
        part = match.groupdict()
        try:
            day = datetime(int(part["y"]), int(part["m"]), int(part["d"]))
        except ValueError:  # 31 April
            continue
        if not part["H"]:
            return Taken(day, "name", "day")
        hour = int(part["H"])
        if part["half"]:
            hour = hour % 12 + (12 if part["half"] == "P" else 0)
        at = day.replace(hour=hour, minute=int(part["M"]), second=int(part["S"] or 0))
        return Taken(at, "name", "second" if part["S"] else "minute")
    number = _MILLISECONDS.search(name)
    if number:  # since 1970, as chat programs and some phones write it
        moment = datetime.fromtimestamp(int(number[1]) / 1000, UTC).astimezone().replace(tzinfo=None, microsecond=0)
        return Taken(moment, "name", "second")
    return None


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


def _part(exif: Any, tag: int) -> Mapping[int, Any]:
    try:
        return dict(exif.get_ifd(tag))
    except Exception:  # damaged metadata must not cost the picture
        return {}


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


def _exif_time(value: Any) -> datetime | None:
    text = _text(value)
    match = re.match(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?", text) if text else None
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        at = datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return at if _EARLIEST <= at.year <= datetime.now().year + 1 else None


def _exif_offset(value: Any) -> int | None:
    text = _text(value)
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", text) if text else None
    if match is None:
        return 0 if text == "Z" else None
    minutes = int(match[2]) * 60 + int(match[3])
    return None if minutes > 15 * 60 else minutes * (-1 if match[1] == "-" else 1)


def _position(gps: Mapping[int, Any]) -> dict[str, float]:
    latitude = _degrees(gps.get(2), gps.get(1), "S", 90)
    longitude = _degrees(gps.get(4), gps.get(3), "W", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return {}
    facts = {"latitude": latitude, "longitude": longitude}
    altitude = _number(gps.get(6))
    if altitude is not None and abs(altitude) < 20_000:
        facts["altitude"] = -altitude if gps.get(5) in (1, b"\x01") else altitude
    return facts


def _degrees(value: Any, reference: Any, negative: str, limit: float) -> float | None:
    parts: Sequence[Any] = value if isinstance(value, (tuple, list)) else (value,)
    numbers = [_number(part) for part in parts[:3]]
    if not numbers or numbers[0] is None or any(number is None or number < 0 for number in numbers):
        return None
    degrees = sum(number / 60**power for power, number in enumerate(numbers) if number is not None)
    if degrees > limit:
        return None
    return round(-degrees if (_text(reference) or "").upper().startswith(negative) else degrees, 6)
