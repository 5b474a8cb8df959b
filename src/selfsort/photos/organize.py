"""The main job: pictures in, run folder out, as a chain of stages that each continue where a killed run stopped.

find → embed → look, text, people → neighbors → groups → map → name → report. What `embed` makes is kept in the user's
cache; what `look`, `text` and `people` read, in the catalog beside the run, where corrections are too; the arrays of
the later stages, in a folder beside the run until it is whole. Then the run folder appears at once. A picture that is
embedded is looked at in passing: its file is read once, and where one decoding serves both, decoded once.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfsort.arguments import FLAG, PATH, PROGRESS, checked, of, optional
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.evaluation import check_labels
from selfsort.features.cache import Cache
from selfsort.features.encoders import LAYERED, load_encoder
from selfsort.features.extract import Extracted, extract
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrected import check_at_hand
from selfsort.photos.facets import QUICK, Alongside
from selfsort.photos.library import open_library
from selfsort.photos.naming import digest, suggest
from selfsort.photos.people import people_facet
from selfsort.photos.pipeline import Pipeline
from selfsort.photos.settings import Settings
from selfsort.photos.text import text_facet
from selfsort.progress import reporting
from selfsort.publish import check_origin, check_target, digest_of_labels, publish, score, unchanged, workplace
from selfsort.runtime import Clock, Progress, counted
from selfsort.sources import Source, display_path, open_source, path_bytes

#: By the names of their settings and in the catalog: facets that are a stage of their own.
_SLOW = {"text": text_facet, "people": people_facet}


@checked(
    output=optional(PATH),
    settings=optional(of(Settings, "a selfsort.Settings, such as Settings(groups=12)")),
    labels=optional(of((str, os.PathLike), "the path of a CSV file, or 'folders'")),
    replace=FLAG,
    progress=PROGRESS,
)
def organize(
    data: Any,
    output: str | Path | None = None,
    *,
    settings: Settings | None = None,
    labels: str | Path | None = None,
    replace: bool = False,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Clusters:
    """Group pictures nobody labeled.

    Parameters
    ----------
    data : path, sequence of paths, or array
        A folder (with all below it), a ``.tar`` or ``.zip``, a text file with one path per line, one picture, a
        sequence of paths, or an array of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3).
    output : path, optional
        The run folder to write. One that holds an earlier run is replaced as a whole, and only when the new run is
        complete; if nothing has changed, it is returned as it is. Without it the result stays in memory.
    settings : Settings, optional
    labels : path or "folders", optional
        Labels to score the groups with when they are done (see `selfsort.evaluation.read_labels`); they steer nothing.
    replace : bool
        Whether a run of other pictures, or of another method, may be replaced. A folder that was moved as a whole has
        the same pictures.
    progress : callable or bool, optional
        Called as ``progress(stage, done, total)``. True shows a bar, False nothing; by default there is a bar in
        terminals and notebooks.
    **options
        Fields of `Settings` by their names, such as ``groups=12``; they count before those of `settings`.

    Returns
    -------
    Clusters

    Raises
    ------
    DataError
        If no picture can be read, an argument is of a wrong type, or `output` cannot be used. Nothing is written then.
    ModelError
        If the encoder cannot be loaded.

    Examples
    --------
    >>> import numpy as np, selfsort
    >>> pictures = np.zeros((6, 32, 32, 3), np.uint8)
    >>> pictures[3:] = 255
    >>> clusters = selfsort.organize(pictures)
    >>> int(clusters.ok.sum())
    6
    """
    settings = (settings or Settings()).having(**options)
    with reporting(progress) as report:
        return _organize(data, output, settings, labels, replace, report)


def _organize(
    data: Any,
    output: str | Path | None,
    settings: Settings,
    labels: str | Path | None,
    replace: bool,
    progress: Progress,
) -> Clusters:
    target = None
    if output is not None:
        check_target(Path(output))
        check_at_hand(output)
        target = Path(output).resolve()  # what a link points to is replaced, not the link
    if labels is not None:
        check_labels(labels)
    # asked for before work starts, because what they are read with may not be installed
    slow = {name: facet() for name, facet in _SLOW.items() if getattr(settings, name)}
    quick = {name: facet for name, facet in QUICK.items() if getattr(settings, name)}
    clock = Clock()
    progress("find", 0, None)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(data))
        clock("find")
        if target is not None and not replace:
            check_origin(target, {"root": source.root}, {path_bytes(item): item.size for item in source.items})
        _check_groups(settings, sum(not item.problem for item in source.items))
        encoder = load_encoder(LAYERED if settings.learn else settings.encoder, online=settings.online)
        work = stack.enter_context(workplace(target))
        catalog = stack.enter_context(_catalog_of(target))
        alongside = Alongside(catalog, quick)
        with Cache() as cache:
            extracted = extract(source, encoder, cache, alongside=alongside, progress=progress)
        clock("embed")
        _check_readable(source, extracted)
        _check_groups(settings, sum(entry.status == "ok" for entry in extracted.entries.values()))
        library = open_library(catalog, source, extracted, quick=quick, slow=slow, progress=progress)
        clock("look")
        salt = digest_of_labels(labels) + digest(catalog)
        pipeline = Pipeline(source, extracted, encoder, settings, library, salt=salt)
        known = bool(catalog.grouping(pipeline.fingerprint))  # else it was lost: made anew
        if target is not None and known and (same := unchanged(target, pipeline.fingerprint)) is not None:
            return same
        clusters = pipeline.run(work, clock, progress)
        if pipeline.taught is not None:
            clusters.run["moved"] = library.keep(
                pipeline.fingerprint, pipeline.contents, pipeline.taught, clusters.groups
            )
        progress("name", 0, None)
        suggest(clusters, catalog)
        clock("name")
        figure = score(clusters, labels) if labels is not None else None
        if target is not None and work is not None:
            progress("report", 0, None)
            publish(clusters, figure, work, target, clock)
    return clusters


@contextlib.contextmanager
def _catalog_of(target: Path | None) -> Iterator[Catalog]:
    """Yield the catalog beside a run; after an error, one that was made for it and knows nothing goes again."""
    path = catalog_path(target) if target is not None else Path(":memory:")
    is_new = target is not None and not path.exists()
    is_empty = False
    try:
        with Catalog(path) as catalog:
            try:
                yield catalog
            except DataError:
                is_empty = is_new and not catalog.numbers()
                raise
    finally:
        for end in ("", "-wal", "-shm") if is_empty else ():
            path.with_name(path.name + end).unlink(missing_ok=True)


def _check_readable(source: Source, extracted: Extracted) -> None:
    """Refuse a folder in which there is no picture."""
    reasons = Counter(extracted.status(row) for row in range(len(source.items)))
    if reasons["ok"]:
        return
    said = "; ".join(f"{n:,} × {reason}" for reason, n in reasons.most_common(3))
    more = f"; {len(reasons) - 3:,} more reasons" if len(reasons) > 3 else ""
    which = counted(len(source.items), "file")
    raise DataError(f"There is no picture in {display_path(source.root)}: {which} could not be read ({said}{more}).")


def _check_groups(settings: Settings, n: int) -> None:
    if settings.groups is not None and settings.groups > n:
        raise DataError(
            f"{settings.groups} groups need at least as many different pictures, and there "
            f"{'is' if n == 1 else 'are'} {n}. Ask for {counted(max(1, n), 'group')} or fewer."
        )
