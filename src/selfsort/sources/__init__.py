"""Find pictures without decoding them: a folder, a list of files, a tar, a zip, or arrays, all seen the same way.

Every file becomes one `Item`, also those that cannot be read, which carry the reason. Nothing is ever unpacked to a
path that an archive names.
"""

from __future__ import annotations

import os
import reprlib
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from selfsort.errors import DataError
from selfsort.formats import sniff
from selfsort.given import decodings, read_given
from selfsort.runtime import display_path, printable
from selfsort.sources.archives import COMPRESSED, TarSource, ZipSource
from selfsort.sources.arrays import ArraySource
from selfsort.sources.base import Item, Limits, Source, path_bytes, reason
from selfsort.sources.disk import FolderSource, ListSource

__all__ = ["Item", "Limits", "Source", "display_path", "open_source", "path_bytes", "printable"]

#: So many paths of a list are looked for to tell its encoding.
_N_TRIED = 200


def open_source(data: Any, *, limits: Limits = Limits()) -> Source:
    """Find the pictures in `data` without decoding any.

    Parameters
    ----------
    data : path, sequence or ndarray
        A folder (searched recursively; hidden files, system clutter and selfsort's own run folders are left out),
        a tar (also gz, bz2, xz), a zip, a single picture, a text file with one path per line (or ended by NUL) relative
        to its own folder; a sequence of paths; uint8 or [0, 1] float pixels of shape (n, h, w) or (n, h, w, 1|3|4);
        a sequence of such arrays or PIL images. Files are told apart by their bytes, only a list by its ``.txt``.
    limits : Limits
        Bounds on files and archives.

    Returns
    -------
    Source

    Raises
    ------
    DataError
        The path does not exist, there is no file in it, an archive is damaged, or an array does not fit.
    """
    if isinstance(data, np.ndarray):
        return ArraySource(data, limits)
    if isinstance(data, (str, bytes, os.PathLike)):
        return _open_path(_absolute(data), limits)
    try:
        entries = list(data)
    except TypeError:
        raise DataError(
            "Pictures must be a folder, an archive, a list (.txt) or a picture by its path, a sequence of paths, or an "
            f"array: got {reprlib.repr(data)} ({type(data).__name__})."
        ) from None
    if not entries:
        raise DataError("There are no pictures: an empty sequence was given.")
    if isinstance(entries[0], (str, bytes, os.PathLike)):
        return ListSource([_absolute(entry) for entry in entries], limits)
    return ArraySource(entries, limits)


def _absolute(path: str | bytes | os.PathLike[str]) -> Path:
    return Path(os.path.normpath(Path(os.fsdecode(path)).absolute()))  # not resolved: links keep their names


def _open_path(path: Path, limits: Limits) -> Source:
    shown = display_path(str(path))
    try:
        if path.is_dir():
            return FolderSource(path, limits)
        if not path.exists():
            raise DataError(f"There is nothing at {shown}. Check the path.")
        if not path.is_file():
            raise DataError(f"{shown} is neither a folder nor a file. Pass a folder of pictures or an archive.")
        with open(path, "rb") as file:
            head = file.read(512)
        if head.startswith(COMPRESSED) or tarfile.is_tarfile(path):
            return TarSource(path, limits)
        if sniff(head):
            return ListSource([path], limits)
        if zipfile.is_zipfile(path):
            return ZipSource(path, limits)
        if path.suffix.lower() == ".txt" and not head.startswith(b"PK"):
            return _open_list(path, limits)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {reason(error)}. Check its permissions and the disk.") from error
    if head.startswith(b"PK"):
        raise DataError(f"The zip {shown} is damaged: it has no directory at its end. Copy or download it again.")
    raise DataError(
        f"{shown} is not a picture, a tar, a zip or a .txt list of paths: it starts with {head[:8]!r}. "
        "Pass a folder, one of these, or an array."
    )


def _open_list(path: Path, limits: Limits) -> ListSource:
    paths = _listed(read_given(path, "list"), path.parent)
    if not paths:
        raise DataError(f"The list {display_path(str(path))} is empty. Write one path per line.")
    source = ListSource(paths, limits)
    if all(item.problem for item in source.items):
        first = source.items[0]
        raise DataError(
            f"None of the {len(paths)} paths listed in {display_path(str(path))} can be read, such as "
            f"{display_path(first.path)!r}: {first.problem}. They are taken relative to the list's own folder."
        )
    return source


def _listed(data: bytes, folder: Path) -> list[Path]:
    """Return the paths in a list; what it does not say, such as its encoding, is what makes most of them exist."""
    best: list[Path] = []
    most = -1
    for text in decodings(data):
        # names may hold line ends, so a list with NULs (find -print0) is divided by them alone
        names = text.split("\0") if "\0" in text else [line.rstrip("\r") for line in text.split("\n")]
        paths = [_listed_path(folder, name) for name in names if name]
        telling = [path for path in paths if not str(path).isascii()] or paths
        n_there = sum(map(_exists, telling[:_N_TRIED]))
        if n_there > most:
            best, most = paths, n_there
        if n_there == len(telling[:_N_TRIED]):
            break
    return best


def _listed_path(folder: Path, name: str) -> Path:
    path = folder / name
    if "\\" in name and os.sep == "/" and not _exists(path):  # written on Windows
        other = folder / name.replace("\\", "/")
        return other if _exists(other) else path
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a list may hold anything
        return False
