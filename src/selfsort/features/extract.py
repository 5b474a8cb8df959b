"""Read, decode and encode every picture of a source once; what was seen before comes from the cache.

As many workers as there are processors each read, decode and encode their own batch: decoding runs beside inference
without a hand-over, and the pixels of no more than one batch per worker are in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from selfsort.containers.raw import FORMATS as RAW_FORMATS
from selfsort.errors import DataError
from selfsort.features.cache import Cache, Entry
from selfsort.features.encoders import Encoder
from selfsort.files import content_id
from selfsort.formats import NOT_AN_IMAGE, sniff, why_not_an_image
from selfsort.images import Picture, PictureFile, Unreadable, decode, from_array
from selfsort.pixels import thumbnail
from selfsort.runtime import Progress, folded, n_threads, silent
from selfsort.sources import Item, Source, display_path
from selfsort.threads import Threads

_COMMIT_SECONDS = 1.0
#: Of larger files the beginning is looked at before they are read.
_LARGE_BYTES = 8 << 20
#: A file changed this recently may change again within the same clock tick, so its stamp is not trusted yet.
_FRESH_NS = 2_000_000_000


@dataclass
class Extracted:
    """Contents and features of every item of a source, in the order of its items.

    Attributes
    ----------
    ids : list of str
        Content hash of each item; empty if it could not be read.
    entries : dict of str to Entry
        By content hash.
    problems : dict of int to str
        Why an item is no picture of the run, by index: it could not be read at all, or is another's raw file.
    n_encoded : int
        How many contents were encoded now; the others were known.
    """

    ids: list[str]
    entries: dict[str, Entry] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    n_encoded: int = 0

    def status(self, index: int) -> str:
        """Return "ok" or the reason why an item has no features."""
        return self.problems.get(index) or self.entries[self.ids[index]].status

    def rows(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        """Yield what a run's table says of each item, see `selfsort.clusters.items_table`."""
        for index, (item, content) in enumerate(zip(items, self.ids, strict=True)):
            entry = self.entries.get(content)
            yield {
                "id": content,
                "path": display_path(item.path),
                "path_bytes": os.fsencode(item.path),
                "size": item.size,
                "width": entry.width if entry else 0,
                "height": entry.height if entry else 0,
                "format": entry.format if entry else "",
                "status": self.status(index),
            }


class Alongside(Protocol):
    """What else is read from pictures while their files are at hand."""

    def read(self, content: str, file: PictureFile) -> Any:
        """Return what is read from one file; called from several threads."""

    def keep(self, found: Mapping[str, Any]) -> None:
        """Store what was read, by content hash; called from the thread that called `extract`."""


def extract(
    source: Source, encoder: Encoder, cache: Cache, *, alongside: Alongside | None = None, progress: Progress = silent
) -> Extracted:
    """Encode what is new and collect the features of all.

    Parameters
    ----------
    source : Source
    encoder : Encoder
    cache : Cache
        Results are stored in it as they come, at least every second: an interrupted call continues.
    alongside : Alongside, optional
        Reads the files of the pictures that are encoded now, too, and stores what it read as often.
    progress : callable
        Stage "embed"; counts items.

    Returns
    -------
    Extracted

    Raises
    ------
    DataError
        If the cache cannot be written, or an encoder failed.
    """
    paths, stamps = _stamps(source)
    known = cache.known_files([path for path in paths if path])
    result = Extracted(
        [known[p][1] if s and known.get(p, ("",))[0] == s else "" for p, s in zip(paths, stamps, strict=True)]
    )
    result.problems = {i: item.problem for i, item in enumerate(source.items) if item.problem}
    claimed = cache.known_ids(encoder.key)
    todo = [i for i, content in enumerate(result.ids) if i not in result.problems and content not in claimed]
    done = len(source.items) - len(todo)
    progress("embed", done, len(source.items))
    workers = _Workers(source, encoder, todo, claimed, alongside)
    entries: list[Entry] = []
    found: dict[str, Any] = {}
    files: list[tuple[bytes, str, str]] = []
    last_commit = time.monotonic()

    def store() -> None:
        if alongside is not None and found:  # first: what is encoded is not read again
            alongside.keep(found)
        cache.add(encoder.key, entries, files)

    try:
        for batch in workers:
            for index, content, problem in batch.items:
                if problem:
                    result.problems[index], result.ids[index] = problem, ""
                    continue
                result.ids[index] = content
                if stamps[index]:
                    files.append((paths[index], stamps[index], content))
            entries += batch.entries
            found |= batch.found
            result.n_encoded += sum(entry.status == "ok" for entry in batch.entries)
            done += len(batch.items)
            progress("embed", done, len(source.items))
            if time.monotonic() - last_commit > _COMMIT_SECONDS:
                store()
                entries, files, found, last_commit = [], [], {}, time.monotonic()
    finally:
        workers.stop()
        store()
    wanted = sorted({content for content in result.ids if content})
    result.entries = {entry.id: entry for entry in cache.entries(encoder.key, wanted)}
    if cache.forget_damaged():  # what the disk has changed is encoded again
        return extract(source, encoder, cache, alongside=alongside, progress=progress)
    for index, content in enumerate(result.ids):
        if content and content not in result.entries and index not in result.problems:
            # a copy of what another worker had claimed and had no memory for; it may go better next time
            result.problems[index], result.ids[index] = "not enough memory to decode its copy", ""
    result.problems |= _raws_of_others(source.items, result)
    return result


def _raws_of_others(items: Sequence[Item], found: Extracted) -> dict[int, str]:
    """Return the raw files beside another picture of their name: they are not shown and grouped a second time."""
    pictures: dict[str, str] = {}
    raws: dict[int, str] = {}
    for index, item in enumerate(items):
        if found.status(index) == "ok":
            folder, slash, name = item.path.rpartition("/")
            stem = folded(folder + slash + (name.rpartition(".")[0] or name))
            if found.entries[found.ids[index]].format in RAW_FORMATS:
                raws[index] = stem
            else:
                pictures.setdefault(stem, name)
    return {
        index: f"{NOT_AN_IMAGE} of its own (raw file of {display_path(pictures[stem])})"
        for index, stem in raws.items()
        if stem in pictures
    }


def _stamps(source: Source) -> tuple[list[bytes], list[str]]:
    """Return each item's key in the cache and what changes when the file does; empty where nothing can be trusted."""
    if source.kind == "array":
        return [b""] * len(source.items), [""] * len(source.items)
    now = time.time_ns()
    root = os.fsencode(source.root)
    archive = ""
    if source.kind in ("tar", "zip"):
        stat = Path(source.root).stat()
        archive = f"{stat.st_size}:{stat.st_mtime_ns}:" if stat.st_mtime_ns < now - _FRESH_NS else ""
    paths, stamps = [], []
    for item in source.items:
        paths.append(root + b"\0" + os.fsencode(item.path))
        if source.kind in ("tar", "zip"):
            stamps.append(archive and f"{archive}{item.size}")
        else:
            settled = item.mtime_ns is not None and item.mtime_ns < now - _FRESH_NS
            stamps.append(f"{item.size}:{item.mtime_ns}" if settled else "")
    return paths, stamps


@dataclass
class _Batch:
    """What one worker hands over.

    The items it settled, as (index, content hash, problem), the new contents, and what was read alongside, by content
    hash.
    """

    items: list[tuple[int, str, str]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)


class _Workers:
    """Threads that read, decode and encode; iterate to receive their batches."""

    def __init__(
        self, source: Source, encoder: Encoder, todo: Sequence[int], claimed: set[str], alongside: Alongside | None
    ) -> None:
        self._source, self._encoder, self._alongside = source, encoder, alongside
        self._todo = iter(todo)
        self._claimed = claimed
        self._lock = threading.Lock()
        n = max(1, min(n_threads(), -(-len(todo) // encoder.batch_size)))
        self._results: queue.Queue[_Batch | Exception | None] = queue.Queue(maxsize=4 * n)
        self._threads = Threads("embed", n)
        self._running = [self._threads.submit(self._work) for _ in range(n)]

    def __iter__(self) -> Iterator[_Batch]:
        running = len(self._running)
        while running:
            result = self._results.get()
            if result is None:
                running -= 1
            elif isinstance(result, Exception):
                raise result
            else:
                yield result

    def stop(self) -> None:
        """End the threads: each finishes the picture or batch at hand, but is waited for only a moment."""
        self._threads.close()

    def _next(self) -> int | None:
        with self._lock:
            return None if self._threads.stopping.is_set() else next(self._todo, None)

    def _work(self) -> None:
        try:
            while (batch := self._fill()).items:
                self._hand_over(batch)
        except Exception as error:  # handed to the caller's thread
            self._hand_over(error)
        finally:
            self._hand_over(None)

    def _hand_over(self, result: _Batch | Exception | None) -> None:
        while not self._threads.stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._results.put(result, timeout=0.1)
                return

    def _fill(self) -> _Batch:
        """Read pictures until one batch is full or nothing is left, then encode it."""
        batch = _Batch()
        pictures: list[Picture] = []
        contents: list[str] = []
        size = self._encoder.preprocessing.size
        pixels = np.zeros((self._encoder.batch_size, size, size, 3), np.uint8)
        while len(pictures) < self._encoder.batch_size and (index := self._next()) is not None:
            content, picture = self._read(index, batch)
            if picture is not None:
                pixels[len(pictures)] = picture.pixels
                pictures.append(picture)
                contents.append(content)
        if pictures and not self._threads.stopping.is_set():
            # always a whole batch, the rest of it black: the same picture gives the same bits however it is batched
            features = self._encoder.encode(pixels)[: len(pictures)].astype(np.float16)
            for content, picture, vector in zip(contents, pictures, features, strict=True):
                batch.entries.append(_entry(content, picture, vector))
        return batch

    def _read(self, index: int, batch: _Batch) -> tuple[str, Picture | None]:
        """Settle one item: unreadable, seen before, not a picture, or a picture to encode."""
        try:
            if (film := self._hash_if_no_picture(index)) is not None:
                content, why = film
                batch.items.append((index, content, ""))
                batch.entries.append(Entry(content, why))
                return content, None
            data = self._source.load(index)
        except Unreadable as error:
            batch.items.append((index, "", str(error)))
            return "", None
        raw = data if isinstance(data, bytes) else self._source.read(index)
        content = content_id(raw)
        batch.items.append((index, content, ""))
        with self._lock:
            if content in self._claimed:
                return content, None
            self._claimed.add(content)
        try:
            if not isinstance(data, bytes):
                return content, from_array(data, self._encoder.preprocessing)
            file = PictureFile(data)
            picture = decode(file, self._encoder.preprocessing)
            if self._alongside is not None:
                batch.found[content] = self._alongside.read(content, file)
            return content, picture
        except Unreadable as error:
            if str(error).startswith("not enough memory"):  # may go better next time: not to be remembered
                batch.items[-1] = (index, "", str(error))
                with self._lock:
                    self._claimed.discard(content)
            else:
                batch.entries.append(Entry(content, str(error)))
            return content, None

    def _hash_if_no_picture(self, index: int) -> tuple[str, str] | None:
        """Return the hash of a large file that is no picture, such as a film, and what it is; it is not read whole."""
        if self._source.kind not in ("folder", "list") or self._source.items[index].size <= _LARGE_BYTES:
            return None
        digest, why = hashlib.sha256(), ""
        for piece in self._source.stream(index):
            if not why:
                if sniff(piece) is not None:
                    return None
                why = why_not_an_image(piece)
            digest.update(piece)
        return digest.hexdigest(), why


def _entry(content: str, picture: Picture, features: npt.NDArray[np.float16]) -> Entry:
    if not np.isfinite(features).all():
        raise DataError(
            "The encoder gave features that are not finite (or beyond float16's 65,504). "
            "Check its preprocessing, or use another encoder."
        )
    return Entry(content, "ok", picture.width, picture.height, picture.format, features, thumbnail(picture.pixels))
