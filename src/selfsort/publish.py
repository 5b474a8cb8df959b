"""Score a finished run and put it in its place, and nothing in it before.

Stages are kept in a hidden folder beside the run. The run is written there, and moved as a whole when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.evaluation import FOLDERS, Labels, evaluate
from selfsort.files import SUMS, content_id, locked, make_folders, sync_folder, sync_tree
from selfsort.given import read_given
from selfsort.report import write_report
from selfsort.run_folder import FIGURES, RUN_FILES
from selfsort.run_schema import parse_json
from selfsort.runtime import Clock

#: What may lie in a run folder: `selfsort evaluate` writes the last into it.
_OURS = RUN_FILES | {"figures", SUMS, "confusion.png"}
#: In the workplace: what was asked for, so that it can be asked for again.
JOB = "job.json"
_WORTH_KEEPING = ("*.npy", "fit-*/*.pt", "fit-*/*.npz")


def check_target(target: Path, shown: Path | None = None) -> None:
    """Refuse a folder that holds anything but a run of ours; `shown` is its name for people, if it has another."""
    shown = shown or target
    if target.is_symlink() and not target.exists():
        raise DataError(f"{shown} is a link to nowhere. Give another folder with -o.")
    names = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if foreign := sorted((names - _OURS) | _foreign_figures(target)):
        raise DataError(
            f"{shown} holds {foreign[0]!r}, which no run does, so it is not replaced. "
            "Move it away, or give a new folder with -o."
        )
    if names and not _is_ours(target):
        raise DataError(
            f"{shown} holds files and is not a run folder, so it is not replaced. Give a new folder with -o."
        )
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file. Give a folder with -o.")
    if target.is_dir() and not os.access(target, os.W_OK):  # then it cannot be moved away either
        raise DataError(f"{shown} may not be changed, so it is not replaced. Give another folder with -o.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target.parent} cannot be made: {error.strerror}. Give another folder with -o.") from error


def check_origin(target: Path, now: Mapping[str, Any], files: Mapping[bytes, int]) -> None:
    """Refuse to replace a run of other pictures, or of another method: nobody may have meant that.

    Parameters
    ----------
    target : Path
    now : mapping
        ``run.json`` of the run to write, as far as it is known: ``root``, ``data``, ``method``, ``samples``.
    files : mapping of bytes to int
        Path -> size of each file of the new run. Pictures of a folder that is not there any more, and that are found
        elsewhere by the same names and sizes, were moved: they are the same.

    Raises
    ------
    DataError
        If the target holds a run of something else.
    """
    try:
        before = parse_json((target / "run.json").read_bytes())
        old, new = _origin(before), _origin(now)
    except (OSError, ValueError, AttributeError, TypeError):  # there is none, or none that could be lost
        return
    if old == new or (old[0] == new[0] and _have_moved(target, before, files)):
        return
    (by, of), (by_now, of_now) = old, new
    raise DataError(
        f"{target} is a run of {by} on {of or 'arrays'}, and this one is of {by_now} on {of_now or 'arrays'}. Give "
        "another folder with -o, or --replace (replace=True) to give up the run that is there."
    )


def _origin(run: Mapping[str, Any]) -> tuple[str, str]:
    """Return what made a run, and of what pictures."""
    data = run.get("data") or {}
    by = f"selfsort fit {run.get('method')}" if "samples" in run else "selfsort organize"
    return by, str(run.get("root") or data.get("name") or "")


def _have_moved(target: Path, before: Mapping[str, Any], files: Mapping[bytes, int]) -> bool:
    root = before.get("root")
    if not root or os.path.lexists(root):
        return False
    items = Clusters.load(target).items.select(["path_bytes", "size"]).to_pylist()
    n_found = sum(files.get(item["path_bytes"]) == item["size"] for item in items)
    return 2 * n_found > len(items)


def _foreign_figures(target: Path) -> set[str]:
    """Return what lies among the figures of a run and is none of them: it would be lost with the run."""
    folder = target / "figures"
    if not folder.is_dir():
        return {"figures"} if folder.exists() else set()
    known: set[str] = set()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = {f"{entry['name']}.png" for entry in parse_json((target / FIGURES).read_bytes())}
    return {f"figures/{path.name}" for path in folder.iterdir() if path.name not in known or not path.is_file()}


def _is_ours(folder: Path) -> bool:
    try:
        run = parse_json((folder / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(run, dict) and {"schema", "selfsort", "fingerprint"} <= run.keys()


def unchanged(target: Path, fingerprint: str) -> Clusters | None:
    """Return the run at `target` if it is complete and depends on just the same things."""
    if not (target / "report.html").exists():
        return None
    with contextlib.suppress(DataError):
        clusters = Clusters.load(target)
        if clusters.run.get("fingerprint") == fingerprint:
            clusters.unchanged = True
            return clusters
    return None


def workplace_of(target: Path) -> Path:
    """Return the folder beside the target where stages are kept until the run is whole."""
    return target.with_name(f".{target.name}.partial")


@contextlib.contextmanager
def workplace(target: Path | None) -> Iterator[Path | None]:
    """Yield `workplace_of` the target, for one process at a time.

    It goes when the block is done. After an error it stays if there are arrays or checkpoints in it; after Ctrl-C also
    if there is a job that can be resumed.
    """
    if target is None:
        yield None
        return
    work = workplace_of(target)
    with contextlib.ExitStack() as stack:
        refusal = f"Another selfsort is writing {target} now. Wait for it, or give another folder."
        try:
            make_folders(work)
            try:
                stack.enter_context(locked(work, refusal))
            except FileNotFoundError:  # the one who held it has just removed it
                make_folders(work)
                stack.enter_context(locked(work, refusal))
            if (work / "old").exists() and not target.exists():  # killed between the two renames of `publish`
                _move(work / "old", target)
        except OSError as error:
            raise DataError(
                f"{target.parent} cannot be written: {error.strerror}. Give another folder with -o."
            ) from error
        try:
            yield work
        except BaseException as error:
            kept = any(any(work.glob(pattern)) for pattern in _WORTH_KEEPING)
            if not kept and not (isinstance(error, KeyboardInterrupt) and (work / JOB).exists()):
                shutil.rmtree(work, ignore_errors=True)  # nothing in it helps the next attempt
            raise
        shutil.rmtree(work, ignore_errors=True)


def digest_of_labels(labels: Labels | None) -> str:
    """Return what changes when the labels do."""
    if labels is None or (isinstance(labels, str) and labels == FOLDERS):
        return str(labels)
    if isinstance(labels, (str, Path)):
        return content_id(read_given(Path(labels), "label file"))
    return content_id("\n".join(map(str, np.asarray(labels).tolist())).encode())


def score(clusters: Clusters, labels: Labels) -> bytes:
    """Put scores and protocol into the run's facts; return the picture of the confusion matrix."""
    from selfsort.figures import confusion_png

    evaluation = evaluate(clusters, labels)
    clusters.run["scores"], clusters.run["protocol"] = evaluation.scores, evaluation.protocol
    return confusion_png(evaluation)


def publish(
    clusters: Clusters,
    figure: bytes | None,
    work: Path,
    target: Path,
    clock: Clock,
    *,
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Write the run and its page in the workplace, then move them to the target; an earlier run there goes.

    Parameters
    ----------
    clusters : Clusters
    figure : bytes, optional
        The confusion matrix.
    work, target : Path
        See `workplace`.
    clock : Clock
    write_more : callable, optional
        Called with the folder of the run before it is moved: writes what else is of it, such as the model.
    """
    fresh, old = work / "run", work / "old"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    write_report(clusters, fresh / "report.html", figure=figure)
    clock("report")
    if write_more is not None:
        write_more(fresh)
    clusters.save(fresh)
    sync_tree(fresh)  # all of it is on the disk before it is called a run
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        _move(target, old)
        try:
            check_target(old, shown=target)  # again: hours may have passed, and somebody may have put something there
            _move(fresh, target)
        except BaseException:
            _move(old, target)
            raise
    else:
        _move(fresh, target)
    clusters.path = target


def _move(folder: Path, target: Path) -> None:
    """Rename a folder, which is on the disk before the next step."""
    folder.rename(target)
    sync_folder(target.parent)
    sync_folder(folder.parent)
