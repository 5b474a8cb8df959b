"""What became of the files of a library between two scans."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Scanned(NamedTuple):
    """One file as a scan found it; `id` is the content's hash, empty where it could not be read."""

    path: str
    id: str
    size: int
    mtime_ns: int | None
    status: str


@dataclass
class Changes:
    """What a scan found, compared with the one before; paths are as in `selfsort.sources.Item`.

    Attributes
    ----------
    new, copies, changed, gone : list of str
        Paths: of a content that was not there, of one that also lies elsewhere, with another content than before, and
        no longer there.
    moved : list of (str, str)
        From where, to where.
    n_same : int
    """

    new: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    n_same: int = 0

    def counts(self) -> dict[str, int]:
        """Return how many there are of each."""
        return {
            "new": len(self.new),
            "copies": len(self.copies),
            "changed": len(self.changed),
            "moved": len(self.moved),
            "gone": len(self.gone),
            "same": self.n_same,
        }


def compare(before: Mapping[bytes, str | None], now: Mapping[bytes, str | None]) -> Changes:
    """Tell what became of each path; contents are None where they could not be read."""
    changes = Changes()
    still = {content for path, content in before.items() if now.get(path) == content}
    lost: dict[str, list[bytes]] = {}
    for path, content in before.items():
        if path not in now and content and content not in still:
            lost.setdefault(content, []).append(path)
    placed: set[str] = set()
    for path, content in sorted(now.items()):
        name = os.fsdecode(path)
        if path in before and before[path] == content:
            changes.n_same += 1
        elif path in before:
            changes.changed.append(name)
        elif content and lost.get(content):
            changes.moved.append((os.fsdecode(lost[content].pop(0)), name))
        elif content and (content in still or content in placed):
            changes.copies.append(name)
        else:
            changes.new.append(name)
        placed.add(content or "")
    unseen = tuple(path + b"/" for path, content in now.items() if content is None)  # folders that could not be read
    moved = {os.fsencode(source) for source, _ in changes.moved}
    left = (path for path in sorted(before) if path not in now and path not in moved)
    changes.gone.extend(os.fsdecode(path) for path in left if not path.startswith(unseen))
    return changes
