"""Find the files of a data set on this machine, or download them into the cache."""

from __future__ import annotations

import hashlib
import os
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from selfsort.datasets.catalog import Spec, normal
from selfsort.datasets.files import Found, file_in
from selfsort.errors import DataError
from selfsort.files import atomic_write
from selfsort.runtime import Progress, cache_dir
from selfsort.sources import display_path
from selfsort.sources.base import reason

#: Where Debian's packages of data sets put them.
SYSTEM = Path("/usr/share/datasets")
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 20


def find(name: str, spec: Spec, split: str, progress: Progress) -> Found:
    """Find the files of one split: under ``SELFSORT_DATA``, in the cache, in Debian's folder, on the network.

    Parameters
    ----------
    name : str
    spec : Spec
    split : str
        One of ``spec.choices``.
    progress : callable
        Stage "download", in bytes of the file at hand.

    Returns
    -------
    Found

    Raises
    ------
    DataError
        If they are nowhere; it names every place.
    """
    needed = {file for part in spec.parts(split) for file in (part.images, part.labels) if file}
    pickled: list[Path] = []
    root = os.environ.get("SELFSORT_DATA")
    try:
        if root:
            folders = _folders_of(Path(root), {normal(name), normal(spec.home)})
            # idx files have the same names in MNIST and Fashion-MNIST, so they count in a folder of the set's name only
            if found := _look(spec, split, needed, folders, [Path(root)], pickled):
                return found
        cache = cache_dir() / "datasets" / spec.home  # only now: where the data is there, no cache is needed
        for place in (cache, SYSTEM / spec.home):
            if found := _look(spec, split, needed, [place], [], pickled):
                return found
    except OSError as error:
        raise DataError(
            f"{spec.title} cannot be looked for: {display_path(str(error.filename))}: {reason(error)}. Check "
            "SELFSORT_DATA and the permissions of that folder."
        ) from error
    wanted = [spec.archive] if spec.archive else sorted(f"{file}.gz" for file in needed)
    problems = _download(spec, wanted, cache, progress)
    if problems:
        raise _nowhere(spec, wanted, root, cache, pickled, problems)
    return Found(cache / spec.archive, "archive") if spec.archive else Found(cache, "folder")


def _nowhere(
    spec: Spec, wanted: list[str], root: str | None, cache: Path, pickled: list[Path], problems: list[str]
) -> DataError:
    shown = f"SELFSORT_DATA={display_path(root)}" if root else "SELFSORT_DATA (not set)"
    if root and not Path(root).is_dir():
        shown += " (not a folder)"
    instead = ""
    if pickled:
        instead = (
            f" {display_path(str(pickled[0]))} holds Python pickles, which are never read because loading them can run "
            "any code: the binary version is needed."
        )
    return DataError(
        f"{spec.title} was not found in {shown}, {display_path(str(cache))} or {SYSTEM / spec.home}, and cannot be "
        f"downloaded: {'; '.join(problems)}.{instead} Put {', '.join(wanted)} into {display_path(str(cache))}, or set "
        f"SELFSORT_DATA to a folder with that in its sub-folder {spec.home}."
    )


def _folders_of(root: Path, names: set[str]) -> list[Path]:
    """Return the folders in `root` that are called by one of these names, however it is spelled."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if normal(path.name) in names and path.is_dir())


def _look(
    spec: Spec, split: str, needed: set[str], own: list[Path], shared: list[Path], pickled: list[Path]
) -> Found | None:
    """Look for files in the set's own folders and, where their names are unmistakable, in folders shared by several.

    What is published comes before its JPEG form. Paths of pickled forms are added to `pickled`.
    """
    unpacked = [folder / "raw" for folder in own]  # as torchvision has it
    unpacked += [folder / spec.folder for folder in (*own, *shared) if spec.folder]
    for folder in (*own, *unpacked):
        if all(file_in(folder, file) for file in needed):
            return Found(folder, "folder")
    for folder in (*own, *shared):
        if spec.archive and (folder / spec.archive).is_file():
            return Found(folder / spec.archive, "archive")
    for folder in (*own, *shared):
        splits = ("train", "test") if split == "all" else (split,)
        if spec.jpeg and all((folder / spec.jpeg.format(split=part)).is_file() for part in splits):
            return Found(folder, "jpeg")
        pickled += [folder / file for file in spec.pickled if (folder / file).exists()]
    return None


class _Failed(Exception):  # noqa: N818  (says why one address gave nothing; the next is tried)
    pass


class _SameScheme(HTTPRedirectHandler):
    """Follows no redirection from https to http."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if urlsplit(newurl).scheme != req.type:
            raise _Failed(f"it leads to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(spec: Spec, files: list[str], folder: Path, progress: Progress) -> list[str]:
    """Download files into a folder; return why it failed, one line for each address that was tried."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return [f"{display_path(str(folder))} cannot be made: {reason(error)}"]
    for file in files:
        problems = []
        if (folder / file).is_file():
            continue
        for mirror in spec.mirrors:
            try:
                _fetch(mirror + file, folder / file, spec.md5[file], spec.max_bytes, progress)
                break
            except (OSError, HTTPException, ValueError, _Failed) as error:
                problems.append(f"{mirror}{file}: {_why(error)}")
        else:
            return problems
    return []


def _fetch(url: str, path: Path, md5: str, max_bytes: int, progress: Progress) -> None:
    """Download one file; it appears under its name only whole and with the right checksum.

    MD5 is what the publishers give: it tells damage, while https is what tells who sent the bytes.
    """
    digest, done = hashlib.md5(usedforsecurity=False), 0
    request = Request(url, headers={"User-Agent": "selfsort"})
    with atomic_write(path) as temporary:
        opened = build_opener(_SameScheme()).open(request, timeout=_TIMEOUT)
        with opened as response, open(temporary, "wb") as file:
            total = response.length
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if done > max_bytes:
                    raise _Failed(f"it is larger than {max_bytes:,} bytes")
                digest.update(chunk)
                file.write(chunk)
                progress("download", done, total)
        if total is not None and done < total:
            raise _Failed(f"the connection broke after {done:,} of {total:,} bytes")
        if digest.hexdigest() != md5:
            raise _Failed(f"its MD5 is {digest.hexdigest()} and should be {md5}")


def _why(error: Exception) -> str:
    if isinstance(error, URLError) and not isinstance(error, HTTPError) and isinstance(error.reason, OSError):
        error = error.reason
    why = str(error)
    if isinstance(error, OSError) and error.errno:
        why = f"{display_path(str(error.filename))}: {reason(error)}" if error.filename else reason(error)
    return " ".join(why.split())[:300] or type(error).__name__
