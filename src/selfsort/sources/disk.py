"""Files of their own on disk: a folder with all below it, or a list of paths."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

from selfsort.errors import DataError
from selfsort.images import Unreadable
from selfsort.runtime import display_path
from selfsort.sources.base import Item, Limits, Source, is_clutter, is_own, path_bytes, readable, reason

_CHUNK = 1 << 20


def pieces(path: Path, most: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a regular file, a MiB at a time.

    Parameters
    ----------
    path : Path
    most : int, optional
        A file that has more bytes is not read to its end.

    Raises
    ------
    Unreadable
        If it is no regular file, or larger than `most`.
    OSError
        If it cannot be read.
    """
    with _opened(path) as file:
        n = 0
        while piece := file.read(_CHUNK):
            n += len(piece)
            if most is not None and n > most:
                raise Unreadable(f"larger than {readable(most)}")
            yield piece


def _opened(path: Path) -> FileIO:
    # O_NONBLOCK: should a pipe have taken the file's place, opening it must not wait for ever
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = FileIO(handle)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise Unreadable("not a regular file")
    return file


class _DiskSource(Source):
    """Files of their own on disk."""

    def _read(self, index: int) -> bytes:
        with _opened(self.original(index)) as file:
            status = os.fstat(file.fileno())
            # buffered, readall would grow its buffer again and again; the extra byte tells that the file has grown
            parts = [file.read(min(status.st_size, self.limits.max_file_bytes) + 1) or b""]
            while parts[-1] and sum(map(len, parts)) <= self.limits.max_file_bytes:
                parts.append(file.read(_CHUNK) or b"")
        return parts[0] if len(parts) <= 2 and not any(parts[1:]) else b"".join(parts)

    def stream(self, index: int) -> Iterator[bytes]:
        """Yield the bytes of one item piece by piece. Raises `Unreadable`."""
        if problem := self.items[index].problem:
            raise Unreadable(problem)
        try:
            yield from pieces(self.original(index), self.limits.max_file_bytes)
        except OSError as error:
            raise Unreadable(reason(error)) from error

    def original(self, index: int) -> Path:
        """Return the absolute path of an item."""
        return Path(self.root, self.items[index].path)


class ListSource(_DiskSource):
    """Files named one by one."""

    kind = "list"

    def __init__(self, paths: Sequence[Path], limits: Limits) -> None:
        paths = list(dict.fromkeys(paths))
        try:
            root = os.path.commonpath([path.parent for path in paths])
        except ValueError:  # on several drives
            root = paths[0].anchor
        names = (path.relative_to(root) if path.is_relative_to(root) else path for path in paths)
        items = (_item(path, name.as_posix(), limits) for path, name in zip(paths, names, strict=True))
        super().__init__(root, sorted(items, key=path_bytes), limits)


class FolderSource(_DiskSource):
    """All files in a folder and the folders below it."""

    kind = "folder"

    def __init__(self, folder: Path, limits: Limits) -> None:
        root = str(folder)
        if _is_run(folder):
            raise DataError(f"{display_path(root)} is a run of selfsort, not a folder of pictures. Pass the pictures.")
        super().__init__(root, sorted(_walk(root, limits), key=path_bytes), limits)


def _walk(root: str, limits: Limits) -> Iterator[Item]:
    """Yield every file once; folders reached by links come last, so that a file is listed where it really is."""
    seen: set[tuple[int, int]] = set()
    folders, linked = [""], list[str]()
    while folders or linked:
        folder = folders.pop() if folders else linked.pop(0)
        path = Path(root, folder)
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:  # a loop, or a second link to the same folder
                continue
            seen.add((status.st_dev, status.st_ino))
            if folder and _is_run(path):
                continue
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise
            yield Item(folder.replace(os.sep, "/"), 0, None, reason(error))
            continue
        for entry in entries:
            if is_clutter(entry.name):
                continue
            name = f"{folder}{os.sep}{entry.name}" if folder else entry.name
            if _is_folder(entry):
                (linked if entry.is_symlink() else folders).append(name)
            elif not is_own(entry.name):
                yield _item(Path(entry.path), name.replace(os.sep, "/"), limits)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points at itself
        return False


def _is_run(folder: Path) -> bool:
    return (folder / "run.json").exists() and (folder / "items.parquet").exists()


def _item(path: Path, name: str, limits: Limits) -> Item:
    try:
        status = path.stat()
    except ValueError:  # a list may hold anything
        return Item(name, 0, None, "not a path")
    except OSError as error:
        nowhere = isinstance(error, FileNotFoundError) and path.is_symlink()
        return Item(name, 0, None, "symbolic link to nowhere" if nowhere else reason(error))
    if not stat.S_ISREG(status.st_mode):
        return Item(name, 0, None, "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    return Item(name, status.st_size, status.st_mtime_ns, limits.problem(status.st_size))
