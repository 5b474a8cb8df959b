"""Format of dates and times for people, in names, on pages and in the terminal. Tables and JSON use ISO 8601."""

from __future__ import annotations

from datetime import datetime

#: Independent of the locale, so that a run has the same names on every machine.
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def day_of(at: datetime) -> str:
    """Return a day.

    >>> day_of(datetime(2026, 3, 7))
    '7 March 2026'
    """
    return f"{at.day} {MONTHS[at.month - 1]} {at.year}"


def moment_of(at: datetime) -> str:
    """Return a day and a time, to the minute.

    >>> moment_of(datetime(2026, 3, 7, 9, 5, 59))
    '7 March 2026, 09:05'
    """
    return f"{day_of(at)}, {at:%H:%M}"


def days_of(start: datetime, end: datetime) -> str:
    """Return the days from one moment to another.

    >>> days_of(datetime(2026, 3, 5), datetime(2026, 3, 7)), days_of(datetime(2026, 3, 5), datetime(2026, 3, 5, 23))
    ('5–7 March 2026', '5 March 2026')
    >>> days_of(datetime(2025, 12, 30), datetime(2026, 1, 2))
    '30 December 2025 – 2 January 2026'
    """
    if start.date() == end.date():
        return day_of(end)
    if (start.year, start.month) == (end.year, end.month):
        return f"{start.day}–{day_of(end)}"
    first = day_of(start) if start.year != end.year else f"{start.day} {MONTHS[start.month - 1]}"
    return f"{first} – {day_of(end)}"


def moments_of(start: datetime, end: datetime) -> str:
    """Return the days and times from one moment to another.

    >>> moments_of(datetime(2026, 3, 5, 9), datetime(2026, 3, 5, 10, 30))
    '5 March 2026, 09:00 – 10:30'
    >>> moments_of(datetime(2026, 3, 5, 9), datetime(2026, 3, 7, 10, 30))
    '5 March 2026, 09:00 – 7 March 2026, 10:30'
    """
    if start == end:
        return moment_of(start)
    return f"{moment_of(start)} – {f'{end:%H:%M}' if start.date() == end.date() else moment_of(end)}"


def noted(at: str) -> str:
    """Return an ISO 8601 time with an offset in this machine's time zone; any other text unchanged."""
    try:
        return moment_of(datetime.fromisoformat(at).astimezone())
    except ValueError:
        return at
