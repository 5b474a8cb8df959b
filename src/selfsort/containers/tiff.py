"""TIFF and formats with its structure: directories of tags with values inline or elsewhere in the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Size in bytes of one value of each type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
SUB_IFDS, NEXT, XMP = 330, "next", 700
#: Maximum number of directories, more than any camera writes, and of values of one tag.
_MAX_IFDS, _MAX_VALUES = 64, 4096
#: Tags needed to find the pixels, which are never dropped: sizes, layout, compression, colors.
_PIXELS = frozenset(
    [*range(254, 267), 273, 274, 277, 278, 279, 284, 292, 293, 317, *range(320, 326), 330, 332, 338, 339, 340, 341, 347]
)
_OLD_PIXELS = frozenset([*range(512, 522), 529, 530, 531, 532])


@dataclass(frozen=True)
class Entry:
    """One tag of a directory: its type, the number and offset of its values, and its own offset."""

    tag: int
    type: int
    count: int
    at: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return _SIZES.get(self.type, 0) * self.count


@dataclass(frozen=True)
class Ifd:
    """One directory.

    Attributes
    ----------
    offset : int
        Offset of the directory.
    entries : dict of int to Entry
        By tag.
    next : int
        Offset of the next directory; 0 if there is none.
    """

    tiff: Tiff
    offset: int
    entries: dict[int, Entry] = field(default_factory=dict)
    next: int = 0

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the values of a numeric tag; empty if it is absent or damaged. Fractions are rounded down."""
        entry = self.entries.get(tag)
        if entry is None or entry.count > _MAX_VALUES:
            return ()
        code = _INTEGERS.get(entry.type) or ("II" if entry.type == 5 else "")
        content = self.tiff.data[entry.at : entry.at + entry.size]
        if not code or len(content) < entry.size:
            return ()
        if entry.type == 5:
            pairs = struct.iter_unpack(self.tiff.order + code, content)
            return tuple(above // below if below else 0 for above, below in pairs)
        return struct.unpack(f"{self.tiff.order}{entry.count}{code}", content)

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return next(iter(self.numbers(tag)), default)

    def text(self, tag: int) -> str:
        """Return the value of a text tag."""
        entry = self.entries.get(tag)
        if entry is None or entry.size > _MAX_VALUES:
            return ""
        return self.tiff.data[entry.at : entry.at + entry.size].split(b"\0")[0].decode("latin-1").strip()


class Tiff:
    """The directories of a file.

    Parameters
    ----------
    data : bytes
        The whole file, or its beginning; values beyond its end count as absent.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = ">" if data[:2] == b"MM" else "<"
        self.big = data[2:4] in (b"+\0", b"\0+")

    @property
    def first(self) -> int:
        """Offset of the first directory."""
        return self._integer(8, 8) if self.big else self._integer(4, 4)

    def starting_at(self, offset: int) -> bytes:
        """Return the file with another directory as the first."""
        at, size = (8, 8) if self.big else (4, 4)
        start = offset.to_bytes(size, "big" if self.order == ">" else "little")
        return self.data[:at] + start + self.data[at + size :]

    def ifds(self) -> Iterator[Ifd]:
        """Yield the directories of a file, each followed by its subdirectories."""
        seen: set[int] = set()
        waiting = [self.first]
        while waiting and len(seen) < _MAX_IFDS:
            offset = waiting.pop()
            ifd = self.ifd(offset) if offset not in seen else None
            seen.add(offset)
            if ifd is not None:
                yield ifd
                waiting += [ifd.next] if ifd.next else []
                waiting += reversed(ifd.numbers(SUB_IFDS)[:_MAX_IFDS])

    def ifd(self, offset: int) -> Ifd | None:
        """Return the directory at an offset; None if there cannot be one."""
        counter, width = (8, 20) if self.big else (2, 12)
        n = self._integer(offset, counter)
        end = offset + counter + n * width
        if not (offset >= 8 and 0 < n <= _MAX_VALUES and end <= len(self.data)):
            return None
        ifd = Ifd(self, offset, {}, self._integer(end, 8 if self.big else 4))
        for place in range(offset + counter, end, width):
            tag, kind = struct.unpack_from(self.order + "HH", self.data, place)
            room = 8 if self.big else 4
            count, value = self._integer(place + 4, room), place + 4 + room
            fits = _SIZES.get(kind, 0) * count <= room
            ifd.entries.setdefault(tag, Entry(tag, kind, count, value if fits else self._integer(value, room), place))
        return ifd

    def _integer(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], "big" if self.order == ">" else "little")


def sound(data: bytes) -> bytes:
    """Return a TIFF file without the unreadable metadata tags of its first directory."""
    tiff = Tiff(data)
    ifd = tiff.ifd(tiff.first)
    if ifd is None:
        raise ValueError("no directory")
    kept = [entry for entry in ifd.entries.values() if entry.tag in _PIXELS | _OLD_PIXELS or _is_sound(entry, data)]
    counter, width = (8, 20) if tiff.big else (2, 12)
    order = "big" if tiff.order == ">" else "little"
    directory = len(kept).to_bytes(counter, order)  # type: ignore[arg-type]
    directory += b"".join(data[entry.place : entry.place + width] for entry in kept)
    directory += bytes(8 if tiff.big else 4)
    return data[: ifd.offset] + directory + data[ifd.offset + len(directory) :]


def _is_sound(entry: Entry, data: bytes) -> bool:
    if entry.tag == XMP and entry.type not in (1, 7):
        return False
    return 0 < entry.size <= len(data) - entry.at
