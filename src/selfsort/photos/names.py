"""Names of folders and files in exports. Undo touches no others."""

from __future__ import annotations

import os
import re
from pathlib import PurePath

from selfsort.runtime import folded

MAX_FOLDER_NAME, MAX_FILE_NAME = 80, 255  # bytes
# Not allowed on Windows, or invisible: control characters and those that change the direction of text.
ILLEGAL = re.compile('[\x00-\x1f\x7f-\x9f<>:"/\\\\|?*\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])(\..*)?", re.IGNORECASE)  # Windows reserves these for devices


def portable(name: str) -> str:
    """Return a name that every file system accepts."""
    name = ILLEGAL.sub("_", name).strip(". ")
    return f"_{name}" if not name or RESERVED.fullmatch(name) else name


def file_name(path: str) -> str:
    """Return the name of the original, changed only if this system does not allow it."""
    name = path.rpartition("/")[2].replace("\0", "_")
    if os.name == "nt":
        return portable(name)
    return name if name not in ("", ".", "..") else "_"


def free_name(name: str, taken: dict[str, int], limit: int, *, has_suffix: bool = True) -> str:
    """Return the name, numbered if it is taken, also by a name that differs only in case or Unicode normalization."""
    suffix = PurePath(name).suffix if has_suffix else ""
    if len(os.fsencode(suffix)) > 32:  # a dot in a long name
        suffix = ""
    stem = name.removesuffix(suffix)
    number = taken.get(folded(name), 0)
    while True:
        number += 1
        ending = suffix if number == 1 else f" ({number}){suffix}"
        start = stem
        while len(os.fsencode(start + ending)) > limit:
            start = start[:-1]
        candidate = start + ending if has_suffix else (start + ending).rstrip(". ")
        if folded(candidate) not in taken:
            taken[folded(name)] = number  # continue counting from here
            taken.setdefault(folded(candidate), 1)
            return candidate


def is_path(target: str) -> bool:
    """Tell whether untrusted text is a path to something below a folder, with valid names."""
    try:
        parts = [os.fsencode(part) for part in target.split("/")]
    except UnicodeEncodeError:  # a lone surrogate
        return False
    possible = all(0 < len(part) <= MAX_FILE_NAME and b"\0" not in part and part not in (b".", b"..") for part in parts)
    return possible and (os.name != "nt" or not any(c in target for c in '\\:<>"|?*'))
