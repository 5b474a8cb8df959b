"""Parse dates in file names from phones, cameras, operating systems and messengers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime

from selfsort.photos.dates import Date, read_offset

_BLANK = "[ \u00a0\u202f]"
_GAP = f"(?:[-_.,]|{_BLANK})"
_YEAR, _MONTH, _DATE = r"(?P<y>(?:19|20)[0-9]{2})", r"(?P<m>0[1-9]|1[0-2])", r"(?P<d>0[1-9]|[12][0-9]|3[01])"
_DAY = rf"(?<![0-9]){_YEAR}(?P<s>[-_. ]?){_MONTH}(?P=s){_DATE}"
#: macOS in some languages. Without a time, these could be any numbers.
_SHORT_DAY = rf"(?<![0-9]){_YEAR}(?P<s>[-.])(?P<m>0?[1-9]|1[0-2])(?P=s)(?P<d>0?[1-9]|[12][0-9]|3[01])"
#: Dash cams.
_SPLIT_DAY = rf"(?<![0-9]){_YEAR}[-_]{_MONTH}{_DATE}"
#: Telegram after an @; no country that separates by periods puts the month first.
_DAY_FIRST = rf"(?:(?<=@)|(?<![0-9.])(?=[0-9]+\.)){_DATE}(?P<s>[-.]){_MONTH}(?P=s){_YEAR}"

_FORENOON, _AFTERNOON = "上午|午前|오전", "下午|午後|오후"
_BEFORE = rf"(?:(?:(?P<am>{_FORENOON})|(?P<pm>{_AFTERNOON})){_BLANK}?)?"
_AFTER = rf"(?:{_BLANK}?(?P<half>[AaPp])\.?{_BLANK}?[Mm](?![A-Za-z]))?"
_ZONE = r"(?:(?P<zone>Z|\+[0-9]{2}:?[0-9]{2})(?![0-9A-Za-z]))?"
#: Words such as "at", "um", "a las", "kl." and "kello" may precede a time with seconds.
_WORDS = rf"(?:{_GAP}{{1,2}}(?:(?!{_FORENOON}|{_AFTERNOON})(?:[^\W0-9_]|[()]){{1,6}}\.?{_GAP}{{1,2}}){{1,2}})"
_HOUR, _HOURS = r"(?P<H>[01][0-9]|2[0-3]|[0-9](?=[.:h]))", r"(?P<H>[01][0-9]|2[0-3])"
_MINUTES, _SECONDS = r"(?P<M>[0-5][0-9])", r"(?P<S>[0-5][0-9])"
_FULL = rf"{_HOUR}(?:(?P<t>[-_.:])|h){_MINUTES}(?(t)(?P=t)|m){_SECONDS}(?:[0-9]{{3}})?(?![0-9])"
#: Six digits alone are a time; four are just as often a counter.
_GLUED = rf"{_HOURS}{_MINUTES}{_SECONDS}(?:[0-9]{{3}}|(?<=[0-9]{{14}})[0-9]{{2}})?(?![0-9])"
_SHORT = rf"{_HOUR}(?P<t>[-_.:h]){_MINUTES}(?!(?P=t)?[0-9])"
_ISO = rf"T{_HOURS}{_MINUTES}(?![0-9])"
#: Most precise first.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        *(
            rf"{day}(?:T|{_GAP}{{1,3}}|{_WORDS}){_BEFORE}{_FULL}{_AFTER}{_ZONE}"
            for day in (_DAY, _SHORT_DAY, _DAY_FIRST)
        ),
        *(rf"{day}(?:[-_. T]|(?<=[0-9]{{8}})){_GLUED}{_AFTER}{_ZONE}" for day in (_DAY, _SPLIT_DAY)),
        rf"{_DAY}(?:[-_. T]|[_ ]at[_ ]){_SHORT}{_AFTER}(?![^\W_])",
        rf"{_DAY}{_ISO}(?![^\W_])",
        *(rf"{day}(?![0-9])" for day in (_DAY, _DAY_FIRST)),
    )
)
_MILLISECONDS = re.compile(r"(?<![0-9])(1[0-9]{12})(?![0-9])")
#: UUIDs and other long names with random digits.
_RANDOM = re.compile(
    r"(?<![0-9a-f])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{16,})(?![0-9a-f])", re.I
)
#: Google's Pixel phones write UTC, others local time.
_IS_UTC = re.compile(r"(?<![A-Za-z])PXL_$", re.I)


def date_in_name(name: str) -> Date | None:
    """Return the date in a file's name, even if it is in the future.

    Parameters
    ----------
    name : str
        File name without folders.

    Returns
    -------
    Date or None
        The offset is 0 if the name is in UTC, which does not say where the picture was taken.

    Examples
    --------
    >>> date_in_name("IMG_20190601_123310.jpg").at.isoformat()
    '2019-06-01T12:33:10'
    >>> date_in_name("IMG-20190601-WA0001.jpg").precision
    'day'
    >>> date_in_name("IMG_1234.jpg") is None
    True
    """
    name = _RANDOM.sub("?", unicodedata.normalize("NFC", name))
    for pattern in _PATTERNS:
        for match in pattern.finditer(name):
            date = _date(match.groupdict(), name[: match.start()])
            if date is not None:
                return date
    number = _MILLISECONDS.search(name)
    if number:  # since 1970, as messengers and some phones write it
        return Date(datetime.fromtimestamp(int(number[1]) // 1000, UTC).replace(tzinfo=None), "second", 0)
    return None


def _date(part: Mapping[str, str | None], before: str) -> Date | None:
    numbers = [int(part[key] or 0) for key in "ymd"]
    try:
        day = datetime(numbers[0], numbers[1], numbers[2])
    except ValueError:  # 31 April
        return None
    if part.get("H") is None:
        return Date(day, "day")
    hour, half = int(part["H"] or 0), part.get("half") or ""
    if half or part.get("am") or part.get("pm"):
        hour = hour % 12 + (12 if half in ("P", "p") or part.get("pm") else 0)
    at = day.replace(hour=hour, minute=int(part["M"] or 0), second=int(part.get("S") or 0))
    offset = 0 if _IS_UTC.search(before) else read_offset(part.get("zone"))
    return Date(at, "second" if part.get("S") else "minute", offset)
