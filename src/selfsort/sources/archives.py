"""Tar and zip archives, read in place: nothing is ever unpacked to a path that an archive names."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import stat
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeVar

from selfsort.errors import DataError
from selfsort.images import Unreadable
from selfsort.runtime import display_path
from selfsort.sources.base import Item, Limits, Source, is_clutter, is_own, path_bytes, readable, reason
from selfsort.sources.code_pages import code_page

T = TypeVar("T")

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")  # how gz, bz2 and xz start

_CHUNK = 1 << 20
_UNIX, _UNICODE_NAME = 3, 0x7075  # in a zip: a system, and a field with the name in UTF-8
_LZMA_BYTES = 512 << 20  # a header may ask for gigabytes
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 200  # pictures are compressed already: no honest one shrinks 200 times


class TarSource(Source):
    """The files in a tar; a compressed one is decompressed once, into a temporary file without a name."""

    kind = "tar"

    def __init__(self, path: Path, limits: Limits) -> None:
        shown = display_path(str(path))
        self._file: Any = open(path, "rb")  # noqa: SIM115  (open as long as the source is)
        self._lock = threading.Lock()
        try:
            packed = self._file.peek(6).startswith(COMPRESSED)
            warning = self._decompress(shown, limits) if packed else ""
            members, problem = _tar_members(self._file, shown, limits)
            named = sorted(_safe_names(members), key=lambda pair: path_bytes(pair[0]))
            super().__init__(str(path), [item for item, _ in named], limits)
        except BaseException:
            self._file.close()
            raise
        self._offsets = [offset for _, offset in named]
        self.warnings += filter(None, (warning, problem))

    def _decompress(self, shown: str, limits: Limits) -> str:
        """Put the decompressed tar in the place of the file; return what is wrong with it, if anything."""
        import bz2
        import gzip
        import lzma

        size, total, packed = os.fstat(self._file.fileno()).st_size, 0, self._file
        opener: Any = {b"\x1f": gzip.open, b"B": bz2.open, b"\xfd": lzma.open}[packed.peek(1)[:1]]
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        with packed, opener(packed) as stream:
            while True:
                try:
                    chunk = stream.read(_CHUNK)
                except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                    return f"{shown} is damaged or ends early ({error}): only what comes before was read."
                if not chunk:
                    return ""
                total += len(chunk)
                if total > limits.max_archive_bytes or total > _BOMB_BYTES + _BOMB_RATIO * size:
                    raise DataError(
                        f"{shown} unpacks to more than {readable(total >> 20 << 20)} from {size:,} bytes, "
                        "which no archive of pictures does. Unpack it yourself if you trust it."
                    )
                try:
                    self._file.write(chunk)
                except OSError as error:
                    raise DataError(
                        f"{shown} cannot be decompressed into {tempfile.gettempdir()}: {reason(error)}. "
                        "Set TMPDIR to a folder with room for it, or unpack it first."
                    ) from error

    def _read(self, index: int) -> bytes:
        size, offset = self.items[index].size, self._offsets[index]
        if hasattr(os, "pread"):
            data = os.pread(self._file.fileno(), size, offset)
        else:  # Windows
            with self._lock:
                self._file.seek(offset)
                data = self._file.read(size)
        if len(data) < size:
            raise Unreadable("the archive ends early")
        return data

    def close(self) -> None:
        """Close the archive."""
        self._file.close()


def _tar_members(file: IO[bytes], shown: str, limits: Limits) -> tuple[dict[str, tuple[Item, int]], str]:
    """Return the files of a tar by name with the place of their bytes (the last of a name counts), and a warning."""
    file.flush()
    end, place, count = file.seek(0, os.SEEK_END), -1, 0
    file.seek(0)
    found: dict[str, tuple[Item, int]] = {}
    try:
        tar = tarfile.open(fileobj=_Headers(file), mode="r:", encoding="utf-8")  # noqa: SIM115  (closing it closes nothing)
    except tarfile.TarError as error:
        raise DataError(f"{shown} is not a tar, or is damaged from its start: {error}. Copy it again.") from error
    while True:
        try:
            member = tar.next()
        except Exception:  # damaged headers raise nearly anything, RecursionError included
            return found, _damaged(shown, count)
        if member is None or tar.offset <= place:  # a negative size would lead back, round and round
            break
        tar.members = []  # type: ignore[attr-defined]  # it keeps every header: a gigabyte for a million files
        place, count = tar.offset, count + 1
        if count > limits.max_archive_members:
            raise DataError(f"{shown} has more than {limits.max_archive_members:,} members. Unpack it first.")
        name = _member_name(member.name)
        if member.isdir() or not name:
            continue
        size = min(max(member.size, 0), end)  # a header may say anything, with hundreds of digits
        problem = limits.problem(member.size)
        if not member.isreg() or member.sparse is not None:
            problem = "not a regular file"
        elif member.offset_data + member.size > end:
            problem = "the archive ends early"
        mtime = int(member.mtime) * 10**9 if 0 < member.mtime < 1 << 40 else None
        found[name] = Item(name, size, mtime, problem), member.offset_data
    file.seek(tar.offset)
    # tarfile takes a header that it cannot read for the end
    return found, _damaged(shown, count) if member is not None or file.read(512).strip(b"\0") else ""


class _Headers(io.RawIOBase):
    """A tar of which only headers are read: names of any length, but none that takes the memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _damaged(shown: str, n_members: int) -> str:
    return f"{shown} is damaged or ends early: only its first {n_members} members were found."


class ZipSource(Source):
    """The files in a zip. Its clock has no time zone, so items have no time."""

    kind = "zip"

    def __init__(self, path: Path, limits: Limits) -> None:
        shown = display_path(str(path))
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DataError(f"The zip {shown} has a damaged directory: {error}. Copy or download it again.") from error
        self._lock = threading.Lock()
        try:
            infos = [info for info in self._zip.infolist() if not info.is_dir()]
            total = sum(info.file_size for info in infos)
            if len(infos) > limits.max_archive_members or total > limits.max_archive_bytes:
                raise DataError(
                    f"{shown} is too large: {len(infos):,} members of {total:,} bytes in total, allowed are "
                    f"{limits.max_archive_members:,} and {limits.max_archive_bytes:,}. Unpack it first."
                )
            members = {}
            for info, given in zip(infos, _zip_names(infos), strict=True):
                name = _member_name(given)
                if name and not given.endswith("/"):
                    members[name] = Item(name, info.file_size, None, _zip_problem(info, limits)), info
            named = sorted(_safe_names(members), key=lambda pair: path_bytes(pair[0]))
            super().__init__(str(path), [item for item, _ in named], limits)
        except BaseException:
            self._zip.close()
            raise
        self._infos = [info for _, info in named]

    def _read(self, index: int) -> bytes:
        info = self._infos[index]
        try:
            data = _unpacked(self._packed(info), info)
        except Unreadable:
            raise
        except Exception as error:  # zipfile, zlib, bz2 and lzma each have their own
            why = " ".join(str(error).split()) or type(error).__name__
            raise Unreadable(f"damaged in the archive: {why}"[:200]) from error
        if len(data) != info.file_size:
            what = "more" if len(data) > info.file_size else "fewer"
            raise Unreadable(f"damaged in the archive: {what} bytes than the {info.file_size:,} of its directory")
        if zlib.crc32(data) != info.CRC:
            raise Unreadable("damaged in the archive: its checksum is wrong")
        return data

    def _packed(self, info: zipfile.ZipInfo) -> bytes:
        """Return the bytes of a member as they are in the archive."""
        if info.compress_size > 2 * info.file_size + _CHUNK:
            raise Unreadable("damaged in the archive: it takes more bytes packed than unpacked")
        raw = copy.copy(info)
        raw.compress_type, raw.file_size, raw.CRC = zipfile.ZIP_STORED, info.compress_size, None  # type: ignore[assignment]
        with self._lock:  # opening counts references without a lock of its own; reading has one
            member = self._zip.open(raw)
        try:
            return member.read()
        finally:
            with self._lock:
                member.close()

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()


def _unpacked(packed: bytes, info: zipfile.ZipInfo) -> bytes:
    """Unpack a member, but no more than one byte beyond the size that the directory says; `zipfile` has no bound."""
    most = info.file_size + 1
    if info.compress_type == zipfile.ZIP_STORED:
        return packed
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
    if info.compress_type == zipfile.ZIP_BZIP2:
        import bz2

        return bz2.BZ2Decompressor().decompress(packed, most)
    if info.compress_type == zipfile.ZIP_LZMA:
        import lzma

        properties, stream = packed[4:9], packed[9:]  # behind two bytes of version and two of their length
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_BYTES)
        return unpacker.decompress(properties + b"\xff" * 8 + stream, most)  # a stream of unknown length
    raise Unreadable("packed by a method that cannot be read here: pack it again, or unpack it")


def _zip_names(infos: list[zipfile.ZipInfo]) -> list[str]:
    """Return the names of members with ``/`` between folders, in whatever code page and by whatever system."""
    raw = [_raw_name(info) for info in infos]
    unknown = [name for name in raw if isinstance(name, bytes)]
    page = code_page(unknown) if unknown else ""
    names = [name.decode(page, "replace") if isinstance(name, bytes) else name for name in raw]
    return [
        name if info.create_system == _UNIX else name.replace("\\", "/")  # only Unix has names with a backslash
        for info, name in zip(infos, names, strict=True)
    ]


def _raw_name(info: zipfile.ZipInfo) -> str | bytes:
    """Return a member's name, as bytes if nothing says their code page."""
    if info.flag_bits & 0x800:  # said to be UTF-8
        return info.filename
    raw = info.orig_filename.partition("\0")[0].encode("cp437")  # as which zipfile has read it
    with contextlib.suppress(UnicodeDecodeError, struct.error):
        at = 0
        while at + 4 <= len(info.extra):
            kind, size = struct.unpack_from("<HH", info.extra, at)
            if kind == _UNICODE_NAME and struct.unpack_from("<I", info.extra, at + 5)[0] == zlib.crc32(raw):
                return info.extra[at + 9 : at + 4 + size].decode("utf-8")
            at += 4 + size
    try:  # many writers store UTF-8 and do not say so
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _zip_problem(info: zipfile.ZipInfo, limits: Limits) -> str:
    if info.flag_bits & 0x1:
        return "encrypted"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "not a regular file"
    if info.file_size > _BOMB_BYTES and info.file_size > _BOMB_RATIO * info.compress_size:
        return f"unpacks to {info.file_size:,} bytes from {info.compress_size:,}: a decompression bomb?"
    return limits.problem(info.file_size)


def _member_name(name: str) -> str:
    """Return an archive member's name without empty parts and dots; empty if it is hidden, clutter or a sidecar."""
    parts = [part for part in name.replace("\0", "_").split("/") if part not in ("", ".")]
    left_out = any(is_clutter(part) for part in parts if part != "..") or is_own(name)
    return "" if left_out else "/".join(parts)


def _safe_names(members: dict[str, tuple[Item, T]]) -> list[tuple[Item, T]]:
    """Give members whose names lead out of the archive (``..``, ``C:``) names inside it that no other has."""
    named, taken = [], set(members)
    for name, (item, place) in sorted(members.items()):
        parts = [part.replace("..", "_") if ".." in part.split("\\") else part for part in name.split("/")]
        if parts[0][1:2] == ":":
            parts[0] = parts[0].replace(":", "_", 1)
        safe = "/".join(parts)
        while safe != name and safe in taken:
            safe = f"_{safe}"
        taken.add(safe)
        named.append((item if safe == name else replace(item, path=safe), place))
    return named
