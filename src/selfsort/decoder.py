"""Decodes pictures in a worker process with limits, for `selfsort.images` through `selfsort.isolation`."""

from __future__ import annotations

from typing import Any

from PIL import Image

from selfsort.images import PictureFile, Unreadable, decode_here
from selfsort.pixels import Preprocessing

#: The file of the last request with its decoded pixels, unless these are large.
_last: list[PictureFile] = []
_KEPT_PIXELS = 50_000_000


def answer(request: dict[str, Any], data: bytes | None) -> tuple[dict[str, Any], bytes]:
    """Decode one picture.

    Parameters
    ----------
    request : dict
        ``size`` and ``resize`` of `selfsort.pixels.Preprocessing`, ``max_pixels`` and ``least`` of
        `selfsort.images.decode`.
    data : bytes or None
        The whole file; None for the file of the last request.

    Returns
    -------
    facts : dict
        ``unreadable``, the reason, or ``width``, ``height``, ``format``, ``cut`` and the ``shape`` of the pixels.
    data : bytes
        The pixels.

    Raises
    ------
    MemoryError
    """
    # Some plugins apply Pillow's limit, which is lower than ours. Only our limit should count in this process.
    Image.MAX_IMAGE_PIXELS = None
    if data is not None:
        _last[:] = [PictureFile(data)]
    try:
        picture = decode_here(
            _last[0], Preprocessing(request["size"], request["resize"]), request["max_pixels"], request["least"]
        )
    except Unreadable as error:
        if isinstance(error.__cause__, MemoryError):
            raise MemoryError from error
        return {"unreadable": str(error)}, b""
    if picture.width * picture.height > _KEPT_PIXELS:
        _last[:] = [PictureFile(_last[0].data)]
    facts = {"width": picture.width, "height": picture.height, "format": picture.format, "cut": picture.cut}
    return facts | {"shape": picture.pixels.shape}, picture.pixels.tobytes()
