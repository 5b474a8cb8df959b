"""What a power cut may leave of what a program did: recorded as it runs, and replayed at every moment.

The model is the weakest that file systems promise. Of a file, what was written since its last sync is kept, lost, cut
or zeroed. Of a folder, each name that came or went since its last sync is kept or lost by itself; only a rename is one
change, which is on the disk once both folders are.
"""

import os
import random
import shutil
import stat
import sys
from contextlib import contextmanager
from pathlib import Path

_CALLS = ("open", "link", "unlink", "remove", "rename", "replace", "mkdir", "rmdir", "symlink", "ftruncate", "fsync")
#: Functions that only hand a sync on: who calls them is what asks for it.
_HELPERS = {"sync", "sync_folder", "sync_tree"}


class Recorder:
    """Watches a folder while something works in it; `states` are what may be there after a power cut.

    Parameters
    ----------
    area : Path
        An existing folder, all of which is on the disk now.
    """

    def __init__(self, area):
        self.area = area
        self.events = []
        self.last = {}
        self._uids, self._n = {}, 0
        self.first = self._scan()

    @contextmanager
    def watching(self, patch):
        """Record what the block does."""
        inside = False

        def hooked(name, call):
            def hook(*args, **options):
                nonlocal inside
                if inside:
                    return call(*args, **options)
                inside = True
                try:
                    self._look()
                    if name == "fsync":
                        self._note_sync(args[0])
                        return None
                    result = call(*args, **options)
                    self._look()
                    return result
                finally:
                    inside = False

            return hook

        with patch.context() as context:
            for name in _CALLS:
                context.setattr(os, name, hooked(name, getattr(os, name)))
            yield self
        self._look()
        self.last = read(self.area)

    def _look(self):
        """Note what changed since the last look, as one step."""
        now = self._scan()
        if not self.events or now != self.events[-1][1]:
            self.events.append(("change", now))

    def _note_sync(self, file):
        found = os.fstat(file)
        uid = self._uids.get((found.st_dev, found.st_ino))
        if uid is not None:
            self.events.append(("sync", self.events[-1][1], uid, _asked_by()))

    def _scan(self):
        """Return uid of folder -> name -> (kind, uid or where it leads), and uid of file -> content."""
        names, contents, seen = {}, {}, {}

        def uid_of(found):
            key = found.st_dev, found.st_ino
            if key not in seen:  # a number that is free may be given to another file
                if key not in self._uids:
                    self._n += 1
                    self._uids[key] = self._n
                seen[key] = self._uids[key]
            return seen[key]

        def walk(folder):
            uid = uid_of(folder.stat())
            names[uid] = {}
            for path in sorted(folder.iterdir()):
                found = path.lstat()
                if stat.S_ISLNK(found.st_mode):
                    names[uid][path.name] = ("link", str(path.readlink()))
                elif stat.S_ISDIR(found.st_mode):
                    names[uid][path.name] = ("folder", uid_of(found))
                    walk(path)
                else:
                    names[uid][path.name] = ("file", uid_of(found))
                    contents[uid_of(found)] = path.read_bytes()

        walk(self.area)
        self._uids = seen
        return names, contents

    def sites(self):
        """Return where in the program the syncs were asked for."""
        return sorted({event[3] for event in self.events if event[0] == "sync"})

    def states(self, without=None):
        """Yield (moment, state): path -> content, the target of a link, or None for a folder; each state once.

        Parameters
        ----------
        without : optional
            Of `sites`: the syncs that are left out, as if somebody had removed them.
        """
        seen = set()
        for moment, (durable, pending, synced, now) in enumerate(self._moments(without)):
            for state in _possible(durable, pending, synced, now, self._root):
                key = frozenset((path, bytes(v) if isinstance(v, bytes) else v) for path, v in state.items())
                if key not in seen:
                    seen.add(key)
                    yield moment, state

    def final_states(self, without=None):
        """Return what may be there after the end: if all is durable, this is one."""
        *_, (durable, pending, synced, now) = self._moments(without)
        states = []
        for state in _possible(durable, pending, synced, now, self._root):
            if state not in states:
                states.append(state)
        return states

    @property
    def _root(self):
        return next(iter(self.first[0]))

    def _moments(self, without):
        durable, synced = self.first
        durable, synced = {uid: dict(names) for uid, names in durable.items()}, dict(synced)
        before, pending = self.first[0], []
        for event in self.events:
            names, contents = event[1]
            pending += [(group, {change[0] for change in group}) for group in _changes(before, names)]
            before = names
            if event[0] == "sync" and event[3] != without:
                uid = event[2]
                if uid in contents:
                    synced[uid] = contents[uid]
                waiting = [(group, folders - {uid}) for group, folders in pending]
                _apply(durable, [group for group, folders in waiting if not folders])
                pending = [(group, folders) for group, folders in waiting if folders]
            copy = {uid: dict(names) for uid, names in durable.items()}
            yield copy, [group for group, _ in pending], dict(synced), contents


def _asked_by():
    frame, root = sys._getframe(2), f"{os.sep}selfsort{os.sep}"
    while frame is not None:
        code = frame.f_code
        if root in code.co_filename and "src" in code.co_filename and code.co_name not in _HELPERS:
            return f"{Path(code.co_filename).name}:{code.co_name}:{frame.f_lineno}"
        frame = frame.f_back
    return "the test"


def _changes(before, now):
    """Return the changes between two looks: names that went to others (a rename) together, all others one by one."""
    gone = [(uid, name, None) for uid in before for name in before[uid] if name not in now.get(uid, {})]
    came = [
        (uid, name, node) for uid in now for name, node in now[uid].items() if before.get(uid, {}).get(name) != node
    ]
    groups = []
    for change in came:
        node = change[2]
        moved = [old for old in gone if before[old[0]][old[1]] == node and old[0] in now]
        gone = [old for old in gone if old not in moved]
        groups.append([change, *moved])
    return groups + [[change] for change in gone if change[0] in now]


def _apply(names, groups):
    for group in groups:
        for uid, name, node in group:
            if node is None:
                names.setdefault(uid, {}).pop(name, None)
            else:
                names.setdefault(uid, {})[name] = node


def _possible(durable, pending, synced, now, root):
    """Yield the states that a power cut may leave."""
    rng = random.Random(len(pending))
    subsets = [[], pending, pending[-1:], pending[:-1]]
    subsets += [[group for group in pending if rng.random() < 0.5] for _ in range(2)]
    variants = ("lost", "kept", "cut", "zeros")
    for i, subset in enumerate(subsets):
        names = {uid: dict(of) for uid, of in durable.items()}
        _apply(names, subset)
        for variant in variants if i < 2 else variants[i % 2 : i % 2 + 1]:
            contents = {}
            for uid in {*synced, *now}:
                old, new = synced.get(uid, b""), now.get(uid, synced.get(uid, b""))
                part = (len(old) + len(new)) // 2
                contents[uid] = {
                    "lost": old,
                    "kept": new,
                    "cut": new[:part],
                    "zeros": new if new == old else new[: len(old)] + bytes(max(0, len(new) - len(old))),
                }[variant]
            yield _flat(names, contents, root)


def _flat(names, contents, uid, prefix=""):
    state = {}
    for name, (kind, what) in names.get(uid, {}).items():
        if kind == "folder":
            state[prefix + name] = None
            state |= _flat(names, contents, what, f"{prefix}{name}/")
        else:
            state[prefix + name] = what if kind == "link" else contents.get(what, b"")
    return state


def build(area, state):
    """Put a state in the place of what is in a folder."""
    for path in area.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name, what in sorted(state.items()):
        path = area / name
        if what is None:
            path.mkdir()
        elif isinstance(what, str):
            path.symlink_to(what)
        else:
            path.write_bytes(what)


def read(area):
    """Return a folder as a state."""
    found = {}
    for path in sorted(area.rglob("*")):
        name = path.relative_to(area).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def files_of(state):
    """Return a state without its folders."""
    return {name: what for name, what in state.items() if what is not None}
