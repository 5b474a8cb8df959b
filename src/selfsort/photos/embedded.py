"""Read the embedded metadata of a picture: EXIF, XMP, IPTC and the text chunks of a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from PIL import Image, IptcImagePlugin

from selfsort import bounds
from selfsort.containers import raw
from selfsort.images import PictureFile
from selfsort.photos.xmp_text import Name, read_properties

_EXIF_NS, _PHOTOSHOP_NS, _XMP_NS = (f"http://ns.adobe.com/{part}/1.0/" for part in ("exif", "photoshop", "xap"))
#: The XMP properties that are read.
ORIGINAL, DIGITIZED = (_EXIF_NS, "DateTimeOriginal"), (_EXIF_NS, "DateTimeDigitized")
CREATED, WRITTEN, MODIFIED = (_PHOTOSHOP_NS, "DateCreated"), (_XMP_NS, "CreateDate"), (_XMP_NS, "ModifyDate")
LATITUDE, LONGITUDE = (_EXIF_NS, "GPSLatitude"), (_EXIF_NS, "GPSLongitude")
ALTITUDE, BELOW_SEA = (_EXIF_NS, "GPSAltitude"), (_EXIF_NS, "GPSAltitudeRef")
_NAMES = {ORIGINAL, DIGITIZED, CREATED, WRITTEN, MODIFIED, LATITUDE, LONGITUDE, ALTITUDE, BELOW_SEA}
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
#: PNG chunks that may follow the pixels.
_LATE = (b"XML:com.adobe.xmp", b"Creation Time", b"Raw profile type")


class Embedded:
    """The metadata of a file, read on demand. Damaged parts are empty.

    Parameters
    ----------
    data : bytes or PictureFile
    """

    def __init__(self, data: bytes | PictureFile) -> None:
        file = data if isinstance(data, PictureFile) else PictureFile(data)
        self._image: Image.Image | None = None
        self._block: bytes | None = None
        try:
            if file.inner.data is not file.data:  # the raw file has more metadata than its preview
                self._block = raw.exif_block(file.data, file.format)
            if file.format == "ICO" or bounds.is_unusual(file.format, file.data):  # `open` would decode an icon
                return
            self._image = file.open()
            if self._image.format == "PNG" and (found := bounds.find_chunk(file.data, b"eXIf")):
                self._image.info["exif"] = found
            is_late = self._image.format == "PNG" and self._is_late(file.data)
            if is_late and not bounds.is_demanding("PNG", file.data, *self._image.size):
                self._image.load()
        except Exception:  # plugins raise nearly every exception for damaged bytes
            return

    def _is_late(self, data: bytes) -> bool:
        pixels = data.find(b"IDAT")
        return pixels >= 0 and any(data.find(mark, pixels) >= 0 for mark in _LATE)

    @cached_property
    def exif(self) -> Mapping[int, Any]:
        """The first EXIF directory, merged with the Exif subdirectory."""
        return {**self._ifd(None), **self._ifd(_EXIF_IFD)}

    @cached_property
    def gps(self) -> Mapping[int, Any]:
        """The GPS directory of EXIF."""
        return self._ifd(_GPS_IFD)

    @cached_property
    def xmp(self) -> Mapping[Name, str]:
        """The XMP properties that this module reads."""
        source = self._info("xmp") or self._info("XML:com.adobe.xmp")
        try:
            profile = self._info("Raw profile type xmp")
            if not source and profile:  # ImageMagick: a name, a length, then hexadecimal digits
                source = bytes.fromhex("".join(profile.split("\n")[3:]))
            return read_properties(source.encode() if isinstance(source, str) else source, _NAMES) if source else {}
        except Exception:  # damaged metadata must not cost the picture
            return {}

    @cached_property
    def iptc(self) -> Mapping[int, str]:
        """The first value of each dataset of IPTC's application record."""
        found: dict[int, str] = {}
        try:
            said = IptcImagePlugin.getiptcinfo(self._image) if self._image is not None else None  # type: ignore[arg-type]
            for (record, number), value in (said or {}).items():
                first = value[0] if isinstance(value, list) else value
                if record == 2:
                    found[number] = first.decode("utf-8", "replace")
        except Exception:
            return {}
        return found

    @property
    def creation_time(self) -> str | None:
        """The PNG text "Creation Time": when the original was made."""
        said = self._info("Creation Time")
        return said if isinstance(said, str) else None

    def _info(self, key: str) -> Any:
        return self._image.info.get(key) if self._image is not None else None

    def _ifd(self, tag: int | None) -> dict[int, Any]:
        try:
            exif = Image.Exif() if self._image is None or self._block is not None else Image.Image.getexif(self._image)
            if self._block is not None:
                exif.load(self._block)
            return dict(exif if tag is None else exif.get_ifd(tag))
        except Exception:
            return {}
