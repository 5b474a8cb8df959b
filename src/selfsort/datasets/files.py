"""Read the files that data sets are published in: idx, CIFAR's and STL-10's records, and JPEGs in one npz.

Nothing is unpickled and nothing unpacked to disk. Every length is known before a byte is read, so a file that is
damaged, or not what its name says, is found and cannot fill the memory.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from selfsort.datasets.catalog import Part, Spec
from selfsort.datasets.pictures import for_each
from selfsort.errors import DataError
from selfsort.images import Unreadable, decode
from selfsort.pixels import Preprocessing
from selfsort.runtime import Progress
from selfsort.sources import display_path
from selfsort.sources.base import reason
from selfsort.threads import Threads

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_MAX_MEMBERS = 1000  # the archives have about ten
_MAX_NPZ_BYTES = 1 << 30


@dataclass(frozen=True)
class Found:
    """Where the files of a data set are: in a folder, in an archive, or as JPEGs in a folder."""

    path: Path
    kind: Literal["folder", "archive", "jpeg"]


class _Stream(Protocol):
    def read(self, n: int, /) -> bytes: ...


def read(found: Found, spec: Spec, split: str, progress: Progress) -> tuple[Pixels, Labels | None, str]:
    """Read one split.

    Parameters
    ----------
    found : Found
    spec : Spec
    split : str
        One of ``spec.choices``.
    progress : callable
        Stage "decode", where pictures are compressed.

    Returns
    -------
    images : ndarray of uint8, shape (n, c, h, w)
    labels : ndarray of int64, shape (n,), or None
    note : str
        In what the pictures differ from the published ones.

    Raises
    ------
    DataError
        If a file is damaged or is not what its name says.
    """
    if found.kind == "jpeg":
        read_parts: list[tuple[Pixels, npt.NDArray[Any] | None, str]] = [
            _read_jpegs(found.path / spec.jpeg.format(split=name), spec, spec.parts(name), progress)
            for name in (("train", "test") if split == "all" else (split,))
        ]
    else:
        read_parts = _read_published(found, spec, spec.parts(split))
    images = [part[0] for part in read_parts]
    labels = [part[1] for part in read_parts if part[1] is not None]
    return (
        images[0] if len(images) == 1 else np.concatenate(images),
        np.concatenate(labels).astype(np.int64) if labels else None,
        "; ".join(dict.fromkeys(part[2] for part in read_parts)),
    )


def _read_published(
    found: Found, spec: Spec, parts: tuple[Part, ...]
) -> list[tuple[Pixels, npt.NDArray[Any] | None, str]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts:
        if spec.layout == "cifar":
            shapes[part.images] = part.n, spec.label_bytes + math.prod(spec.shape)
        else:
            shapes[part.images] = part.n, *(spec.shape[1:] if spec.layout == "idx" else spec.shape)
            shapes |= {part.labels: (part.n,)} if part.labels else {}
    arrays = {}
    with _naming(found.path):
        for name, shown, stream in _streams(found, set(shapes)):
            with _naming(shown):
                arrays[name] = _read_array(stream, shapes[name], shown, idx=spec.layout == "idx")
    missing = sorted(set(shapes) - set(arrays))
    if missing:
        raise damaged(found.path, f"there is no {missing[0]} in it")
    return [(*_split_up(found, spec, part, arrays), "") for part in parts]


def _split_up(
    found: Found, spec: Spec, part: Part, arrays: dict[str, Pixels]
) -> tuple[Pixels, npt.NDArray[Any] | None]:
    """Return pictures and labels of one part as they are everywhere: (n, c, h, w), and counted from 0."""
    images = arrays.pop(part.images)
    labels: npt.NDArray[Any] | None = None
    if spec.layout == "cifar":
        labels = images[:, spec.label_column]
        images = np.ascontiguousarray(images[:, spec.label_bytes :])
    elif part.labels:
        labels = arrays[part.labels]
    if spec.layout == "stl":  # stored by columns, and labels from 1
        for start in range(0, len(images), 1000):  # in place: the unlabeled ones take 2.8 GB
            images[start : start + 1000] = images[start : start + 1000].transpose(0, 1, 3, 2).copy()
        labels = None if labels is None else labels.astype(np.int64) - 1
    if labels is not None:
        _check_labels(found.path, part.labels, labels, spec)
    return images.reshape(part.n, *spec.shape), labels


def _check_labels(path: Path, name: str, labels: npt.NDArray[Any], spec: Spec) -> None:
    if labels.min() < 0 or labels.max() >= len(spec.classes):
        raise damaged(path / name if name else path, f"it has labels other than those of {len(spec.classes)} classes")


def _streams(found: Found, names: set[str]) -> Iterator[tuple[str, Path, _Stream]]:
    """Yield the name, path and bytes of each file; those of an archive in its order, because it is read once."""
    if found.kind == "folder":
        for name in sorted(names):
            path = file_in(found.path, name)
            if path is not None:
                opener = gzip.open if path.suffix == ".gz" else open
                with opener(path, "rb") as stream:
                    yield name, path, stream
        return
    with tarfile.open(found.path, "r:gz") as archive:
        left = set(names)
        for number, member in enumerate(archive):
            name = Path(member.name).name
            if name in left and member.isreg():
                left.remove(name)
                if (opened := archive.extractfile(member)) is not None:
                    yield name, found.path / name, opened
            if not left or number > _MAX_MEMBERS:
                return


def file_in(folder: Path, name: str) -> Path | None:
    """Return the path of a file in a folder, compressed or not, if there is one."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_array(stream: _Stream, shape: tuple[int, ...], shown: Path, *, idx: bool) -> Pixels:
    """Read bytes of this shape, and see that the file ends with them; one of idx starts with a header that tells it."""
    if idx:
        header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
        got = stream.read(len(header))
        if got != header:
            raise damaged(
                shown, f"its header is {got.hex() or 'empty'} where {header.hex()} belongs, for {_size(shape)}"
            )
    array = np.empty(shape, np.uint8)
    flat, done = array.reshape(-1), 0
    while done < len(flat):
        chunk = stream.read(min(len(flat) - done, 1 << 24))
        if not chunk:
            raise damaged(shown, f"it ends after {done:,} of {len(flat):,} bytes")
        flat[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if stream.read(1):
        raise damaged(shown, f"it has more than {len(flat):,} bytes")
    return array


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]:,} labels" if len(shape) == 1 else f"{shape[0]:,} pictures of {'×'.join(map(str, shape[1:]))}"


def _read_jpegs(
    path: Path, spec: Spec, parts: tuple[Part, ...], progress: Progress
) -> tuple[Pixels, npt.NDArray[Any], str]:
    """Read the bytes of all JPEGs (data), where each starts and the last ends (offsets), and labels, from an npz."""
    n = sum(part.n for part in parts)
    with _naming(path):
        with zipfile.ZipFile(path) as packed:
            if sum(info.file_size for info in packed.infolist()) > _MAX_NPZ_BYTES:
                raise damaged(path, f"it unpacks to more than {_MAX_NPZ_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as archive:
            data, offsets, labels = archive["data"], archive["offsets"].astype(np.int64), archive["labels"]
    sound = data.dtype == np.uint8 and data.ndim == 1 and labels.dtype.kind in "iu"
    sound = sound and offsets.shape == (n + 1,) and labels.shape == (n,)
    if not sound or offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets) <= 0).any():
        raise damaged(path, f"data, offsets and labels do not fit together or are not of {n:,} pictures")
    _check_labels(path, "", labels, spec)
    size = spec.shape[1]
    images = np.empty((n, *spec.shape), np.uint8)

    def work(row: int) -> None:
        try:
            picture = decode(data[offsets[row] : offsets[row + 1]].tobytes(), Preprocessing(size))
        except Unreadable as error:
            raise damaged(path, f"picture {row}: {error}") from error
        if (picture.format, picture.width, picture.height) != ("JPEG", size, size):
            raise damaged(path, f"picture {row} is a {picture.format} of {picture.width}×{picture.height} pixels")
        images[row] = picture.pixels.transpose(2, 0, 1)

    with Threads("decode") as pool:
        for_each(pool, work, n, "decode", progress)
    return images, labels, f"{spec.title} re-encoded as JPEG{_jpeg_settings(data[: offsets[1]].tobytes())}"


def _jpeg_settings(data: bytes) -> str:
    """Return how a JPEG was written: its quality, if its tables are the usual ones, and its colors."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    settings = ""
    for quality in range(1, 101):
        out = io.BytesIO()
        Image.new("RGB", (1, 1)).save(out, "JPEG", quality=quality)
        if JpegImagePlugin.JpegImageFile(io.BytesIO(out.getvalue())).quantization == image.quantization:
            settings = f", quality {quality}"
            break
    sampling = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(JpegImagePlugin.get_sampling(image))
    return settings + (f", {sampling}" if sampling else "")


def damaged(path: Path, why: str) -> DataError:
    """Return the error for a file that is not what it should be."""
    shown = display_path(str(path))
    return DataError(f"{shown} is damaged or another file: {why}. Remove it, then copy or download it again.")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the readers of archives raise for damaged files into an error that names the file."""
    try:
        yield
    except DataError:  # has the name already
        raise
    except OSError as error:
        if error.errno:
            shown = display_path(str(path))
            raise DataError(f"{shown} cannot be read: {reason(error)}. Check its permissions and the disk.") from error
        raise damaged(path, str(error)) from error
    except (EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, KeyError, ValueError, MemoryError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise damaged(path, why[:200]) from error
