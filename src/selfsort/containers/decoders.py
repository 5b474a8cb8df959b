"""The decoder of each format, and the repair of files that it refuses.

Only these formats are ever opened, so that a file cannot reach unneeded decoders (PostScript, PDF). Each Pillow plugin
is called by its class. This is faster than `PIL.Image.open`, needs no registration, and leaves the caller's Pillow
settings unchanged.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from selfsort.containers import gif, heif, jpeg, png, tiff, webp


def opener(name: str) -> Callable[[io.BytesIO], Image.Image]:
    """Return the function that opens files of a format."""
    if name == "HEIF":
        from pillow_heif import HeifImageFile  # 20 MB of libraries, loaded only for such a file

        plugin: Callable[[io.BytesIO], Image.Image] = HeifImageFile
        return plugin
    return _PLUGINS[name]


class _CleanAvif(AvifImagePlugin.AvifImageFile):
    """AVIF cropped to its clean aperture, which Pillow ignores."""

    def _open(self) -> None:
        assert self.fp is not None
        data = self.fp.read()
        self.fp.seek(0)
        super()._open()
        self._coded, self._clean = self._size, heif.clean_aperture(data, self._size)
        if self._clean is not None:
            self._size = self._clean[2] - self._clean[0], self._clean[3] - self._clean[1]

    def load(self) -> Image.core.PixelAccess | None:
        if self.tile and self._clean is not None:
            clean, self._size = self._size, self._coded
            super().load()
            self.im, self._size = self.im.crop(self._clean), clean
        return super().load()


_PLUGINS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "ICO": IcoImagePlugin.IcoImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": _CleanAvif,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}

#: Functions that repair damaged metadata, and those that complete truncated files.
SOUND: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": jpeg.sound,
    "PNG": png.sound,
    "GIF": gif.sound,
    "TIFF": tiff.sound,
    "WEBP": webp.sound,
    "AVIF": heif.sound,
}
COMPLETED: dict[str, Callable[[bytes], tuple[bytes, float | None]]] = {"JPEG": jpeg.completed, "PNG": png.completed}

_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


def hush_pillow() -> None:
    """Keep Pillow's warnings about damaged metadata off the screen.

    `warnings.catch_warnings` is not thread-safe, so this installs one narrow, permanent filter.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        logging.getLogger("PIL").addHandler(logging.NullHandler())  # without a handler, Python prints log messages
