"""Raw files of cameras: detect their format by content, and read their size and embedded JPEG.

Raw data is not developed: selfsort uses the preview that the camera embedded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from selfsort.containers import jpeg
from selfsort.containers.tiff import Ifd, Tiff

_MAGIC = (
    (b"IIRO", "ORF"),
    (b"IIRS", "ORF"),
    (b"MMOR", "ORF"),
    (b"IIU\0", "RW2"),
    (b"FUJIFILMCCD-RAW", "RAF"),
    (b"FOVb", "X3F"),
    (b"\0MRM", "MRW"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: Formats with the structure of TIFF but another signature.
_LIKE_TIFF = ("ORF", "RW2")
#: Formats by the first letters of the camera's make, if the directories say nothing more specific.
_MAKERS = {
    "NIKON": "NEF",
    "CANON": "CR2",
    "SONY": "ARW",
    "PENTAX": "PEF",
    "RICOH": "PEF",
    "SAMSUNG": "SRW",
    "PHASE ONE": "IIQ",
    "LEAF": "MOS",
    "HASSELBLAD": "3FR",
    "EASTMAN KODAK": "DCR",
    "KODAK": "DCR",
    "SEIKO EPSON": "ERF",
    "MAMIYA": "MEF",
    "OLYMPUS": "ORF",
    "OM DIGITAL": "ORF",
    "PANASONIC": "RW2",
    "LEICA": "RWL",
    "FUJIFILM": "RAF",
    "MINOLTA": "MRW",
    "KONICA MINOLTA": "MRW",
}
#: Possible results of `raw_format`.
FORMATS = frozenset([*_MAKERS.values(), *(name for _, name in _MAGIC), "CR3", "DNG", "KDC", "NRW", "RAW"])

_WIDTH, _HEIGHT, _REDUCED, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 254, 259, 262, 274
_MAKE, _MODEL, _STRIPS, _STRIP_BYTES, _TILES, _JPEG, _JPEG_BYTES = 271, 272, 273, 279, 324, 513, 514
_DNG_VERSION, _CROP, _ACTIVE, _LEAF = 50706, 50720, 50829, 34310
#: Tags of Panasonic: width and height of the sensor, its borders, and the JPEG.
_RW2_SIZE, _RW2_BORDERS, _RW2_JPEG = (2, 3), (4, 5, 6, 7), 46
#: Color filter array and linear raw. Only raw files have these photometric interpretations or these compressions.
_RAW_COLORS = (32803, 34892)
_RAW_COMPRESSIONS = (32767, 32769, 32770, 32772, 34713, 65000, 65535)
_JPEG_COMPRESSIONS = (6, 7)
#: Maximum number of JPEG signatures to try in files whose directories name no JPEG.
_MAX_MARKS = 256


@dataclass(frozen=True)
class Inner:
    """The picture to decode from a file with several pictures.

    Attributes
    ----------
    kind : str
        "JPEG" or "TIFF".
    data : bytes
    width, height : int
        Size in pixels of the whole picture as stored; 0 if unknown.
    orientation : int or None
        EXIF orientation. None: use that of `data`.
    """

    kind: str
    data: bytes
    width: int = 0
    height: int = 0
    orientation: int | None = None


def raw_format(data: bytes) -> str | None:
    """Return the raw format of a file; None if it is not a raw file.

    Parameters
    ----------
    data : bytes
        The whole file: most raw formats differ from TIFF only in their directories.
    """
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[4:12] == b"ftypcrx ":
        return "CR3"
    if not data.startswith(_TIFF):
        return None
    if data[8:10] == b"CR":
        return "CR2"
    if data[8:12] in (b"IIII", b"MMMM"):
        return "IIQ"
    ifds = list(Tiff(data).ifds())
    if any(_DNG_VERSION in ifd.entries for ifd in ifds):
        return "DNG"
    if any(_is_raw(ifd) for ifd in ifds) or (_is_reduced(ifds) and _make(ifds) and _plain(ifds) is None):
        return _of_maker(ifds)
    return None


def inner(data: bytes, kind: str) -> Inner | None:
    """Return the picture to decode from a raw file, or from a TIFF file that begins with a smaller copy.

    Parameters
    ----------
    data : bytes
        The whole file.
    kind : str
        Its format.

    Returns
    -------
    Inner or None
        None: decode the file as it is.

    Raises
    ------
    ValueError
        If a raw file contains no readable picture.
    """
    like_tiff = data.startswith(_TIFF) or kind in _LIKE_TIFF
    tiff = Tiff(data)
    ifds = list(tiff.ifds()) if like_tiff else []
    orientation = next((n for ifd in ifds if 1 <= (n := ifd.number(_ORIENTATION)) <= 8), None)
    if kind == "TIFF":
        best = _plain(ifds) if _is_reduced(ifds) else None
        if best is None:
            return None
        turned = orientation if _ORIENTATION not in best.entries else None  # Pillow applies the directory's own
        return Inner("TIFF", tiff.starting_at(best.offset), orientation=turned)
    width, height = _size(data, kind, ifds)
    found = max(_jpegs(data, kind, ifds), key=lambda one: one.width * one.height, default=None)
    if found is None:
        if not data.startswith(_TIFF):
            raise ValueError("no preview in it")
        return Inner("TIFF", data, *((height, width) if (orientation or 1) >= 5 else (width, height)), orientation=1)
    if found.width * found.height > width * height:  # a preview is never larger than its picture
        width, height = found.width, found.height
    if orientation is not None and orientation >= 5 and (found.width < found.height) != (width < height):
        orientation, width, height = 1, height, width  # already upright
    return Inner("JPEG", found.data, width, height, orientation)


def exif_block(data: bytes, kind: str) -> bytes | None:
    """Return a raw or TIFF file as an EXIF block, because its first directory has EXIF; None for other structures."""
    if data.startswith(_TIFF):
        return data
    return data[:2] + (b"*\0" if data[:2] == b"II" else b"\0*") + data[4:] if kind in _LIKE_TIFF else None


def _is_raw(ifd: Ifd) -> bool:
    return (
        ifd.number(_PHOTOMETRIC) in _RAW_COLORS or ifd.number(_COMPRESSION) in _RAW_COMPRESSIONS or _LEAF in ifd.entries
    )


def _is_reduced(ifds: list[Ifd]) -> bool:
    return bool(ifds) and bool(ifds[0].number(_REDUCED) & 1)


def _plain(ifds: list[Ifd]) -> Ifd | None:
    """Return the directory of the largest ordinary picture, if it is not the first."""
    full = [
        ifd
        for ifd in ifds
        if ifd.entries.keys() & {_STRIPS, _TILES} and not _is_raw(ifd) and not ifd.number(_REDUCED) & 5
    ]
    best = max(full, key=_area, default=None)
    return best if best is not None and _area(best) > _area(ifds[0]) else None


def _area(ifd: Ifd) -> int:
    return ifd.number(_WIDTH) * ifd.number(_HEIGHT)


def _make(ifds: list[Ifd]) -> str:
    return next((make for ifd in ifds if (make := ifd.text(_MAKE))), "")


def _of_maker(ifds: list[Ifd]) -> str:
    make = _make(ifds).upper()
    name = next((name for start, name in _MAKERS.items() if make.startswith(start)), "RAW")
    if name == "NEF" and "COOLPIX" in ifds[0].text(_MODEL).upper():
        return "NRW"
    return "KDC" if name == "DCR" and all(ifd.number(_COMPRESSION) != 65000 for ifd in ifds) else name


def _size(data: bytes, kind: str, ifds: list[Ifd]) -> tuple[int, int]:
    """Return the size of the developed picture of a raw file; zeros if unknown."""
    if kind == "RW2" and ifds:
        width, height = (ifds[0].number(tag) for tag in _RW2_SIZE)
        top, left, bottom, right = (ifds[0].number(tag) for tag in _RW2_BORDERS)
        if 0 <= left < right <= width and 0 <= top < bottom <= height:
            return right - left, bottom - top
        return width, height
    if kind == "CR3":
        entries = [at for at in _places(data, b"CRAW") if at + 28 < len(data)]
        sizes = [(_big(data, at + 28, 2), _big(data, at + 30, 2)) for at in entries]
        return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    if kind == "RAF":
        return _size_of_raf(data)
    if kind == "X3F":
        columns, rows = (int.from_bytes(data[at : at + 4], "little") for at in (28, 32))
        return (columns, rows) if max(columns, rows) < 65536 else (0, 0)
    if kind == "MRW":
        at = data.find(b"\0PRD", 0, 4096)
        return (_big(data, at + 22, 2), _big(data, at + 20, 2)) if at >= 0 else (0, 0)
    sizes = [_shown_size(ifd) for ifd in ifds if _is_raw(ifd)] or [_shown_size(ifd) for ifd in ifds]
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))


def _shown_size(ifd: Ifd) -> tuple[int, int]:
    if len(crop := ifd.numbers(_CROP)) == 2 and all(crop):
        return crop[0], crop[1]
    if len(active := ifd.numbers(_ACTIVE)) == 4 and active[2] > active[0] and active[3] > active[1]:
        return active[3] - active[1], active[2] - active[0]
    return ifd.number(_WIDTH), ifd.number(_HEIGHT)


def _size_of_raf(data: bytes) -> tuple[int, int]:
    at = _big(data, 92, 4)
    n, at = _big(data, at, 4), at + 4
    for _ in range(min(n, 256)):
        tag, length = _big(data, at, 2), _big(data, at + 2, 2)
        if tag == 0x0111:
            return _big(data, at + 6, 2), _big(data, at + 4, 2)
        at += 4 + length
    return 0, 0


def _jpegs(data: bytes, kind: str, ifds: list[Ifd]) -> list[Inner]:
    """Return the JPEGs that a file's directories name; if there are none, JPEGs anywhere in the file."""
    places = [(_big(data, 84, 4), _big(data, 88, 4))] if kind == "RAF" else []
    for ifd in ifds:
        places.append((ifd.number(_JPEG), ifd.number(_JPEG_BYTES)))
        entry = ifd.entries.get(_RW2_JPEG)
        if kind == "RW2" and entry is not None:
            places.append((entry.at, entry.size))
        strips, lengths = ifd.numbers(_STRIPS), ifd.numbers(_STRIP_BYTES)
        if ifd.number(_COMPRESSION) in _JPEG_COMPRESSIONS and strips and lengths:
            places.append((strips[0], sum(lengths)))
    named = [data[at : at + length] for at, length in places if at and length]
    found = [one for part in named if (one := _as_jpeg(part)) is not None]
    if found or kind == "DNG":  # every preview of a DNG is named
        return found
    return [one for at in _places(data, b"\xff\xd8\xff") if (one := _as_jpeg(data[at:])) is not None]


def _as_jpeg(data: bytes) -> Inner | None:
    size = jpeg.size(data)
    return None if size is None else Inner("JPEG", data, *size)


def _places(data: bytes, mark: bytes) -> Iterator[int]:
    at = -1
    for _ in range(_MAX_MARKS):
        at = data.find(mark, at + 1)
        if at < 0:
            return
        yield at


def _big(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
