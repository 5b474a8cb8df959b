"""Numbers of many pictures to the page in one answer: JSON, then arrays as they lie in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_ALIGN = 8


def pack(facts: Mapping[str, Any], **arrays: npt.NDArray[Any]) -> bytes:
    """Return facts and arrays as one block of bytes.

    A number of 4 bytes says how long the JSON behind it is; it holds `facts` and, under ``arrays``, what type each
    array has, where it begins and how many values it has. Everything is little-endian, and arrays begin at multiples of
    8 bytes, so that the page can look at them where they lie.
    """
    blocks = {
        name: np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes() for name, value in arrays.items()
    }
    layout, offset = {}, 0
    for name, block in blocks.items():
        layout[name] = {"type": arrays[name].dtype.name, "offset": offset, "length": arrays[name].size}
        offset += _padded(len(block))
    text = json.dumps({**facts, "arrays": layout}, ensure_ascii=True, allow_nan=False).encode("ascii")
    start = _padded(4 + len(text))
    parts = [len(text).to_bytes(4, "little"), text, b"\0" * (start - 4 - len(text))]
    for block in blocks.values():
        parts += [block, b"\0" * (_padded(len(block)) - len(block))]
    return b"".join(parts)


def _padded(length: int) -> int:
    return -(-length // _ALIGN) * _ALIGN
