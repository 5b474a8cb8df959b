"""Read from every picture, once, what its file and its pixels say: when and where it was taken, how it looks.

What was read stays in the catalog, so only new pictures are read again, and a call that was stopped goes on.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Container, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import content_id
from selfsort.images import PictureFile, Unreadable
from selfsort.photos import looks, metadata
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.originals import check_there
from selfsort.runtime import Progress, n_threads, silent
from selfsort.sources import Source, open_source
from selfsort.threads import Threads

_KEEP_SECONDS = 1.0
#: So many pictures per thread are read ahead.
_AHEAD = 4


@dataclass(frozen=True)
class Facet:
    """Something that is read from the file of a picture.

    Attributes
    ----------
    version : int
        Facts of another version are read anew.
    read : callable
        From `PictureFile` to JSON's types; raises `Unreadable`.
    searched : str, optional
        Of the facts, which one is a text that can be searched for, see `Catalog.search`.
    """

    version: int
    read: Callable[[PictureFile], Any]
    searched: str | None = None


@dataclass(frozen=True)
class OfRun:
    """What is known of the pictures of a run by one facet.

    Attributes
    ----------
    clusters : Clusters
        The run.
    contents : frozenset of str
        Its different pictures.
    n_read : int
        Those that were tried now.
    n_known : int
        Those that were ever tried.
    facts : dict of str to Any
        Content -> fact, without those that could not be read.
    """

    clusters: Clusters
    contents: frozenset[str]
    n_read: int
    n_known: int
    facts: dict[str, Any]


#: Those that take little more time than decoding.
QUICK: Mapping[str, Facet] = {
    "metadata": Facet(metadata.VERSION, metadata.read_metadata),
    "looks": Facet(looks.VERSION, looks.look),
}


class Alongside:
    """What facets say of pictures that are read for another reason, kept in a catalog; see `extract`.

    Parameters
    ----------
    catalog : Catalog
    facets : mapping of str to Facet
        By the names they have in the catalog; those that a picture has already are not read again.
    """

    def __init__(self, catalog: Catalog, facets: Mapping[str, Facet]) -> None:
        self._catalog, self._facets = catalog, facets
        self._known = {name: catalog.known(name, facet.version) for name, facet in facets.items()}

    def read(self, content: str, file: PictureFile) -> dict[str, Any]:
        """Return the facts that the catalog lacks; may be called from any thread."""
        return _facts(file, {n: facet for n, facet in self._facets.items() if content not in self._known[n]})

    def keep(self, found: Mapping[str, dict[str, Any]]) -> None:
        """Put facts of contents, as `read` gave them, into the catalog."""
        _keep(self._catalog, found, self._facets)


def read_facets(
    catalog: Catalog,
    source: Source,
    rows: Mapping[str, int],
    facets: Mapping[str, Facet],
    *,
    stage: str,
    progress: Progress = silent,
) -> int:
    """Read the facets that pictures lack.

    Parameters
    ----------
    catalog : Catalog
        What is read is kept in it, every second.
    source : Source
    rows : mapping of str to int
        Content -> index of an item of the source that has it; what has another content by now is left out.
    facets : mapping of str to Facet
        By the names they have in the catalog.
    stage : str
        What progress is called.
    progress : callable
        Counts pictures.

    Returns
    -------
    int
        How many pictures were read now.
    """
    lacking: dict[str, list[str]] = {}
    for name, facet in facets.items():
        for content in catalog.lacking(name, facet.version, rows):
            lacking.setdefault(content, []).append(name)
    done = len(rows) - len(lacking)
    progress(stage, done, len(rows))
    found: dict[str, dict[str, Any]] = {}
    kept = time.monotonic()
    try:
        with contextlib.closing(_in_threads(source, rows, lacking, facets)) as read:
            for content, values in read:
                found[content] = values
                done += 1
                progress(stage, done, len(rows))
                if time.monotonic() - kept > _KEEP_SECONDS:
                    _keep(catalog, found, facets)
                    found, kept = {}, time.monotonic()
    finally:
        _keep(catalog, found, facets)
    return len(lacking)


def read_facet_of_run(
    run: str | Path,
    name: str,
    facet: Facet,
    *,
    among: Container[str] | None = None,
    stage: str = "",
    progress: Progress = silent,
) -> OfRun:
    """Read a facet that the pictures of a finished run lack, into its catalog; a call that was stopped goes on.

    Parameters
    ----------
    run : path
        Of `selfsort.organize`; its pictures must be where they were. Those that are not, or were changed, are left out.
    name : str
        Of the facet in the catalog.
    facet : Facet
    among : container of str, optional
        Only these contents.
    stage : str
        What progress is called; otherwise the name.
    progress : callable
        Counts pictures.

    Raises
    ------
    DataError
        If there is no run, no catalog or no pictures.
    """
    clusters = Clusters.load(run)
    with ExitStack() as stack:
        catalog = stack.enter_context(Catalog(catalog_path(Path(run).resolve()), make=False))
        known = catalog.numbers()
        contents = frozenset(
            content for content, _ in _rows(clusters) if content in known and (among is None or content in among)
        )
        if catalog.lacking(name, facet.version, contents):
            check_there(clusters)
        source = stack.enter_context(_source_of(clusters))
        index = {path: i for i, path in enumerate(_absolute(source))}
        rows: dict[str, int] = {}
        for content, path in _rows(clusters):
            if content in contents and path in index:
                rows.setdefault(content, index[path])
        n_read = read_facets(catalog, source, rows, {name: facet}, stage=stage or name, progress=progress)
        of_version = catalog.facts(name, facet.version)
        facts = {content: fact for content, fact in of_version.items() if fact and content in contents}
        n_known = len(contents) - len(catalog.lacking(name, facet.version, contents))
    return OfRun(clusters, contents, n_read, n_known, facts)


def _keep(catalog: Catalog, found: Mapping[str, dict[str, Any]], facets: Mapping[str, Facet]) -> None:
    for name, facet in facets.items():
        values = {content: facts[name] for content, facts in found.items() if name in facts}
        if values:
            if facet.searched:  # first, so that what is known can always be found
                catalog.add_texts(
                    {content: value[facet.searched] if value else "" for content, value in values.items()}
                )
            catalog.add_facts(name, facet.version, values)


def _in_threads(
    source: Source, rows: Mapping[str, int], lacking: Mapping[str, list[str]], facets: Mapping[str, Facet]
) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """Yield content and facts as they are read; few pictures are in memory at any time."""
    running: set[Future[tuple[str, dict[str, Any]]]] = set()
    n_ahead = _AHEAD * n_threads()
    with Threads("look") as threads:
        for content, names in lacking.items():
            wanted = {name: facets[name] for name in names}
            running.add(threads.submit(_read, source, rows[content], content, wanted))
            while len(running) >= n_ahead:
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ready)
        yield from (future.result() for future in as_completed(running))


def _read(source: Source, row: int, content: str, facets: Mapping[str, Facet]) -> tuple[str, dict[str, Any]]:
    """Return the facts of one picture; None for what cannot be read, which is not tried again."""
    try:
        data = source.read(row)
    except Unreadable:  # it went away since it was found: it may come back
        return content, {}
    if content_id(data) != content:  # it was changed since it was found
        return content, {}
    return content, _facts(PictureFile(data), facets)


def _facts(file: PictureFile, facets: Mapping[str, Facet]) -> dict[str, Any]:
    values = {}
    for name, facet in facets.items():
        try:
            values[name] = facet.read(file)
        except Unreadable as error:
            if not str(error).startswith("not enough memory"):  # that may go better next time
                values[name] = None
    return values


def _source_of(clusters: Clusters) -> Source:
    """Open the files of a run again."""
    facts = clusters.run
    if not facts.get("root") or facts.get("source") == "array":
        raise DataError("This run was made of arrays, not of files, so there are no pictures to read.")
    if facts["source"] in ("tar", "zip"):
        return open_source(facts["root"])
    paths = [path for _, path in _rows(clusters)]
    return open_source(paths) if paths else open_source(facts["root"])


def _rows(clusters: Clusters) -> Iterator[tuple[str, str]]:
    """Yield content and path of every picture that could be read: the absolute one, or that within the archive."""
    root = Path() if clusters.run.get("source") in ("tar", "zip") else Path(clusters.run["root"])
    items = clusters.items.select(["id", "path_bytes", "status"]).to_pylist()
    for item in items:
        if item["status"] == "ok":
            yield item["id"], str(root / os.fsdecode(item["path_bytes"]))


def _absolute(source: Source) -> list[str]:
    return [str(source.original(i) or Path(item.path)) for i, item in enumerate(source.items)]
