"""Verify that a run, its catalog, its model and its exports are as they were written, by reading all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from selfsort.clusters import Clusters
from selfsort.errors import DataError, SelfsortError
from selfsort.methods.saving import CONFIG, load_model
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrections import Log
from selfsort.photos.journal import JOURNAL, Journal, difference
from selfsort.photos.place import Place
from selfsort.run_folder import check_files
from selfsort.runtime import Progress, silent


@dataclass(frozen=True)
class Problem:
    """One difference from what was written.

    Attributes
    ----------
    part : {"run", "model", "catalog", "export"}
    path : str
    what : str
        What is wrong, in one line.
    do : str
        What to do about it.
    """

    part: str
    path: str
    what: str
    do: str

    def as_json(self) -> dict[str, str]:
        """Return the problem as JSON types."""
        return asdict(self)


def check(
    run: str | Path, exports: Iterable[str | Path] = (), *, progress: Progress = silent
) -> tuple[list[Problem], list[str]]:
    """Check a run with its catalog, model and exports.

    Parameters
    ----------
    run : path
        A run folder.
    exports : iterable of paths
        Folders of exports. Exports beside the run and in the folder of the pictures are found automatically.
    progress : callable

    Returns
    -------
    problems : list of Problem
        Empty if everything is as written.
    checked : list of str
        What was checked.

    Raises
    ------
    DataError
        If there is no folder `run`, or no journal in one of `exports`.
    """
    folder = Path(run).resolve()
    if not folder.is_dir():
        raise DataError(f"There is no folder {run}. Give a run folder.")
    again = "Give the command that made the run again: corrections are kept in the catalog."
    progress("run", 0, None)
    problems = [Problem("run", str(folder), what, again) for what in check_files(folder)]
    checked = [str(folder)]
    clusters = None
    try:
        clusters = Clusters.load(folder)
    except DataError as error:
        if not problems:
            problems.append(Problem("run", str(folder), str(error), again))
    if (folder / CONFIG).exists() and not problems:
        try:
            load_model(folder)
        except SelfsortError as error:
            problems.append(Problem("model", str(folder), str(error), "Fit the model again."))
    path = catalog_path(folder)
    if path.exists():
        progress("catalog", 0, None)
        checked.append(str(path))
        problems += _check_catalog(path)
    places = {Path(given).resolve() for given in exports}
    for place in places:
        if not (place / JOURNAL).is_file():
            raise DataError(f"{place} holds no {JOURNAL}, so nothing was exported there, or it was undone.")
    for place in sorted(places | set(_exports_near(folder, clusters))):
        progress("exports", 0, None)
        checked.append(str(place))
        problems += _check_export(place)
    return problems, checked


def _check_catalog(path: Path) -> Iterator[Problem]:
    do = "Put a backup in its place; to begin anew without its corrections, move it and the run away."
    try:
        with Catalog(path, make=False, read_only=True) as catalog:
            found = catalog.check()
            Log(catalog).entries()
    except SelfsortError as error:
        found = [str(error)]
    yield from (Problem("catalog", str(path), what, do) for what in found)


def _exports_near(run: Path, clusters: Clusters | None) -> Iterator[Path]:
    """Yield folders that may be exports of a run, without searching deeply."""
    root = (clusters.run.get("root") if clusters is not None else None) or run
    for place in (*run.parent.iterdir(), Path(root)):
        try:
            journal = place / JOURNAL
            if place != run and journal.is_file() and Journal.read(journal).header.get("run") in (str(run), None):
                yield place.resolve()
        except OSError:  # an unreadable folder
            continue
        except DataError:  # its run is unreadable
            yield place.resolve()


def _check_export(place: Path) -> Iterator[Problem]:
    path = place / JOURNAL
    try:
        journal = Journal.read(path)
    except DataError as error:
        yield Problem("export", str(path), str(error), "Look at its folder yourself: what it made is not known.")
        return
    if journal.header and not journal.ended:
        do = "Give the same selfsort export command again to finish it, or take it back with selfsort undo."
        yield Problem("export", str(path), "the export was stopped before its end", do)
    with Place(place) as folder:
        for target, entry in journal.files.items():
            if not entry.done:
                continue
            try:
                what = difference(folder, entry)
            except OSError as error:
                what = f"it cannot be read: {error.strerror}"
            if what is not None:
                do = (
                    "If that was not you: take the export back with selfsort undo, which leaves such files, and repeat."
                )
                yield Problem("export", str(place / target), what, do)
