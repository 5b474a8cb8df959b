"""Dates as cameras and programs write them into metadata: EXIF, XMP, IPTC, PNG."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_tz

_EARLIEST = 1826  # the year of the oldest photograph
_LARGEST_OFFSET = 15 * 60
_OFFSET = r"(?P<zone>Z|(?:UTC|GMT)?\s?[+\-\u2212][0-9]{1,2}(?::?[0-9]{2})?|UTC|GMT)(?![0-9A-Za-z])"
_HALF = r"(?P<half>[AaPp])\.?\s?[Mm]\b"
#: ``2002:07:03 08:05:09``, and all that programs make of it: other separators, blanks for zeros, no clock.
_SEPARATED = re.compile(
    r"(?P<y>[0-9]{4})(?:\s?[-:/.]\s?(?P<m>[0-9]{1,2})(?:\s?[-:/.]\s?(?P<d>[0-9]{1,2}))?)?(?![0-9])"
    r"(?:[\sT:_,\-]+(?P<H>[0-9]{1,2})\s?[:.h]\s?(?P<M>[0-9]{1,2})(?:\s?[:.]\s?(?P<S>[0-9]{1,2})(?:[.,:][0-9]+)?)?"
    rf"(?:\s?{_HALF})?(?:\s?{_OFFSET})?)?"
)
#: ``20020703 080509``, as in IPTC.
_COMPACT = re.compile(
    r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})(?![0-9]{1,5}(?![0-9]))"
    rf"(?:[\sT]?(?P<H>[0-9]{{2}})(?P<M>[0-9]{{2}})(?P<S>[0-9]{{2}})?(?:[.,][0-9]+)?(?:\s?{_OFFSET})?)?(?![0-9])"
)
#: What a clock shows that was never set: where the counting of seconds begins, for many cameras and programs.
_NEVER_SET = {datetime(1904, 1, 1), datetime(1970, 1, 1), datetime(1980, 1, 1)}


@dataclass(frozen=True)
class Date:
    """A date as it was written.

    Attributes
    ----------
    at : datetime
        Local time without a time zone; what is not known is the earliest possible.
    precision : str
        ``"second"``, ``"minute"``, ``"day"``, ``"month"`` or ``"year"``.
    offset : int, optional
        Minutes from UTC.
    """

    at: datetime
    precision: str
    offset: int | None = None


def read_date(text: str) -> Date | None:
    """Read a date from metadata; None if it is none, impossible, or that of a clock that was never set.

    >>> read_date("2002: 7: 3  8: 5: 9").at.isoformat()
    '2002-07-03T08:05:09'
    >>> read_date("2015:02:01 14:42:59+01:00").offset
    60
    >>> read_date("1988").precision
    'year'
    >>> read_date("0000:00:00 00:00:00") is None
    True
    """
    text = text.strip()
    match = _COMPACT.match(text) or _SEPARATED.match(text)
    if match is None:
        return _mail_date(text)
    part = match.groupdict()
    if not int(part["d"] or 0) and match.end() < len(text):  # a number at the beginning of some other text
        return None
    clock = (part["H"], part["M"], part["S"], part.get("half"))
    date = _date((part["y"], part["m"], part["d"]), clock, read_offset(part["zone"]))
    return date if date and _is_credible(date) else None


def read_offset(text: str | None) -> int | None:
    """Return the minutes from UTC of a time zone; None if it is none.

    >>> read_offset("+5:30"), read_offset("-0300"), read_offset("Z"), read_offset("CET")
    (330, -180, 0, None)
    """
    match = re.fullmatch(_OFFSET, (text or "").strip())
    if match is None:
        return None
    numbers = re.search(r"([+\-\u2212])([0-9]{1,2}):?([0-9]{2})?$", match["zone"])
    if numbers is None:
        return 0
    minutes = 60 * int(numbers[2]) + int(numbers[3] or 0)
    if minutes > _LARGEST_OFFSET:
        return None
    return minutes if numbers[1] == "+" else -minutes


def _mail_date(text: str) -> Date | None:
    """Read a date as e-mail has it, which the PNG standard recommends, or as C's ``asctime`` writes it."""
    parts = parsedate_tz(text)
    if parts is None or not re.search(r"[0-9]:[0-9]", text):
        return None
    year, month, day, hour, minute, second = map(str, parts[:6])
    zone = re.search(rf"\s{_OFFSET}$", text)
    date = _date((year, month, day), (hour, minute, second, None), read_offset(zone["zone"]) if zone else None)
    return date if date and _is_credible(date) else None


def _date(
    day: tuple[str, str | None, str | None],
    clock: tuple[str | None, str | None, str | None, str | None],
    offset: int | None = None,
) -> Date | None:
    """Return a date as exact as it is possible: a month 0 is not known, nor is a clock that shows 25:00."""
    year, month, date = (int(part or 0) for part in day)
    if not month or not date:
        precision = "month" if month else "year"
        return _at(precision, None, year, month or 1, 1)
    hour, minute, second, half = clock
    if hour is None or minute is None:
        return _at("day", None, year, month, date)
    hours = int(hour)
    if half and 1 <= hours <= 12:
        hours = hours % 12 + (12 if half in "pP" else 0)
    if hours > 23 or int(minute) > 59:
        return _at("day", None, year, month, date)
    if second is None or int(second) > 59:  # 60 is a leap second
        return _at("minute", offset, year, month, date, hours, int(minute))
    return _at("second", offset, year, month, date, hours, int(minute), int(second))


def _at(precision: str, offset: int | None, *parts: int) -> Date | None:
    try:
        return Date(datetime(*parts), precision, offset)  # type: ignore[arg-type]
    except (ValueError, OverflowError):  # 31 April
        return None


def _is_credible(date: Date) -> bool:
    if date.precision in ("second", "minute"):
        # some hours from midnight in 1970 is the same moment in another time zone
        epoch = abs(date.at - datetime(1970, 1, 1)).total_seconds()
        if date.at in _NEVER_SET or (epoch <= 60 * _LARGEST_OFFSET and epoch % 1800 == 0):
            return False
    return _EARLIEST <= date.at.year <= datetime.now().year + 1
