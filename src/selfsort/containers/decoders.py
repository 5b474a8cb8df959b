"""Which decoder opens files of each format, and what is done to files that it refuses.

Only the formats named here are ever opened, so that a file cannot reach a decoder nobody needs (PostScript, PDF). Each
Pillow plugin is called by its class: it is faster than `PIL.Image.open`, needs no registration, and leaves Pillow's own
settings as the caller has them.
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
    """Return what opens files of a format, by its name."""
    if name == "HEIF":
        from pillow_heif import HeifImageFile  # 20 MB of libraries, wanted only when such a file is met

        plugin: Callable[[io.BytesIO], Image.Image] = HeifImageFile
        return plugin
    return _PLUGINS[name]


class _CleanAvif(AvifImagePlugin.AvifImageFile):
    """AVIF, of which Pillow shows also what the file says is not to be shown."""

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

#: What makes files readable that are damaged where it does not matter, and those that end early.
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

    `warnings.catch_warnings` is not safe in threads, so one narrow filter is put in place and stays.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        logging.getLogger("PIL").addHandler(logging.NullHandler())  # without one, Python prints what is logged
