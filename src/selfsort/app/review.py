"""What the page shows and changes: one run with its corrections, as arrays by row."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.app.covers import covers
from selfsort.app.facts import FLAWS, Facts, kind_told, shown_in
from selfsort.app.pack import pack
from selfsort.app.words import described, last_step, pictures_of
from selfsort.errors import DataError
from selfsort.features.graph import by_size, cut_at
from selfsort.photos.catalog import plain
from selfsort.photos.corrected import Corrected
from selfsort.photos.naming import name_groups
from selfsort.photos.persons import PERSONS, in_order, name_persons_in, named, persons
from selfsort.photos.state import NOWHERE, Entry
from selfsort.photos.terms import Terms
from selfsort.photos.text import amounts
from selfsort.photos.trash_log import trash_log, trashed_rows
from selfsort.report import reasons, whole
from selfsort.sources import display_path

IntArray = npt.NDArray[np.int64]

LOCKED, HIDDEN, PLACED, GONE = 1, 2, 4, 8
#: Places on the map are whole numbers from 0 to this.
_MAP_SIDE = 60_000
#: So many corrections are listed, and so many can one step have.
_N_HISTORY, _MAX_STEP = 500, 1000
_N_AMOUNTS = 12


class Review:
    """A run that is looked at and corrected; all calls from one thread.

    Parameters
    ----------
    run : path
        A run folder of `selfsort.organize`.

    Attributes
    ----------
    run : Path
    corrected : Corrected
    """

    def __init__(self, run: str | Path) -> None:
        self.run = Path(run).resolve()
        self._stamp, self._n_named = (0, 0), 0
        self._open()

    def _open(self) -> None:
        """Read the run and its catalog; what was read before stays if that fails."""
        stamp, opened = self._now(), Corrected(self.run)
        if self._stamp[0]:
            self.close()
        self.corrected: Corrected = opened
        self.clusters = self.corrected.clusters
        self.ids: list[str] = self.clusters.items.column("id").to_pylist()
        level = self.clusters.run["level"]
        groups = [group for group in self.clusters.groups if group["level"] == level]
        self._numbers = {int(group["key"]): int(group["group"]) for group in groups}
        self._suggested = {int(group["key"]): group.get("suggested") or {} for group in groups}
        self.terms: Terms | None = None
        self._rank = np.nan_to_num(np.asarray(self.clusters.confidence, np.float64))
        for group in groups:
            rows = group["prototypes"]
            self._rank[rows] = np.maximum(self._rank[rows], 2 - np.arange(len(rows)) / 100)
        self._kinds = {g["group"]: g["kind"] for g in self.clusters.groups if g.get("kind")}
        self._n_copies = Counter(self.ids)
        self._last = -1
        self._note_trash()
        self._stamp = stamp
        self._refresh()

    def _now(self) -> tuple[int, int]:
        """Return when the run was made, and how long the log of its trash is."""
        try:
            made = (self.run / "run.json").stat().st_mtime_ns
            log = trash_log(self.run)
            return made, log.stat().st_size if log.exists() else 0
        except OSError:
            return self._stamp

    def _note_trash(self) -> None:
        self._gone = GONE * trashed_rows(self.clusters).astype(np.uint8)

    def name_by(self, terms: Terms) -> None:
        """Suggest names by what is known of the pictures."""
        self.terms = terms
        self._n_named += 1

    def close(self) -> None:
        """Let go of the catalog."""
        self.corrected.close()

    def version(self) -> str:
        """Return what changes whenever the run or its corrections do, also by another program; read them anew then."""
        now = self._now()
        if now[0] != self._stamp[0]:
            with contextlib.suppress(DataError):  # a run that is being replaced; it is tried again
                self._open()
        elif now != self._stamp:
            self._note_trash()
            self._stamp = now
        self._refresh()
        return self._version()

    def _version(self) -> str:
        return f"{self._stamp[0]}-{self._last}-{self._n_named}.{self._stamp[1]}"

    @property
    def stamp(self) -> str:
        """What tells this run from others that were in its place: the part of the version before the first dash."""
        return str(self._stamp[0])

    def _refresh(self) -> None:
        last = self.corrected.catalog.last_entry()
        if last != self._last:
            self.entries = self.corrected.log.entries()
            self._index = {entry.number: place for place, entry in enumerate(self.entries)}
            self.state = self.corrected.state()
            self._last = last
            groups = self.state.groups
            self._keys = np.array([groups.get(content, NOWHERE) for content in self.ids], np.int64)
            flags = dict.fromkeys(self.state.locked, LOCKED)
            for content in self.state.hidden:
                flags[content] = flags.get(content, 0) | HIDDEN
            for content in self.state.placed:
                flags[content] = flags.get(content, 0) | PLACED
            self._flags = np.array([flags.get(content, 0) for content in self.ids], np.uint8)

    @property
    def flags(self) -> npt.NDArray[np.uint8]:
        """Of each row, which of `LOCKED`, `HIDDEN`, `PLACED` and `GONE` it is, shape (n,)."""
        return self._flags | self._gone

    def columns(self) -> bytes:
        """Return what does not change while the run stays: see `pack`."""
        items, run = self.clusters.items, self.clusters.run
        width, height = (
            np.minimum(items.column(name).to_numpy(), 65535).astype(np.uint16) for name in ("width", "height")
        )
        place = self.clusters.map
        x, y = whole(place, _MAP_SIDE, missing=65_535).T if place is not None else np.zeros((2, 0), np.int64)
        facts = {
            "name": Path(str(run.get("root") or self.run)).name,
            "root": display_path(str(run.get("root") or "")),
            "n": len(self.ids),
            "levels": self._levels(),
            "warnings": list(run.get("warnings", [])),
            "version": self._version(),
            "asked": (run.get("params") or {}).get("groups"),
        }
        ok = self.clusters.ok.astype(np.uint8)
        sure = np.rint(100 * np.minimum(self._rank, 1)).astype(np.uint8)
        return pack(facts, width=width, height=height, x=x.astype(np.uint16), y=y.astype(np.uint16), ok=ok, sure=sure)

    def _levels(self) -> dict[str, int] | None:
        """Return how many groups the page can choose at most, and how many there are; None if the run cannot tell."""
        if self.clusters.merges is None or not len(self.clusters.merges):
            return None
        return {"most": len(self.clusters.merges) + 1, "found": len(self._numbers)}

    def groups(self, n_groups: int | None = None) -> bytes:
        """Return the groups as they are now: what each is, and of each picture its group and `flags`, see `pack`.

        Parameters
        ----------
        n_groups : int, optional
            Coarser or finer than they are: see `selfsort.features.graph.merge_order`. Nothing is changed by looking.
        """
        keys = self._keys
        if n_groups is not None and self._levels():
            keys = self._cut(n_groups)
        return self._packed(keys, is_cut=keys is not self._keys)

    def _packed(self, keys: IntArray, *, is_cut: bool) -> bytes:
        known = np.unique(keys[keys != NOWHERE])
        index = np.where(keys != NOWHERE, np.searchsorted(known, keys), -1)
        flags = self.flags
        shown = (flags & (HIDDEN | GONE)) == 0
        sizes = np.bincount(index[(index >= 0) & shown], minlength=len(known))
        order = np.argsort(-sizes, kind="stable")
        place = np.empty(len(known), np.int64)
        place[order] = np.arange(len(known))
        labels = np.where(index >= 0, place[np.maximum(index, 0)], -1).astype(np.int32)
        shots = covers(labels, shown, self._rank, self.ids, self.clusters.neighbors)
        kinds = self._kind_of(labels, len(known))
        keys_in_order = known[order].tolist()
        own = {} if is_cut else self.state.names
        suggested = self._names(labels, keys_in_order, own, is_cut=is_cut)
        groups = []
        for number, key in enumerate(keys_in_order):
            said = suggested[number]
            group = {"key": key, "name": own.get(key, ""), "size": int(sizes[order[number]]), "covers": shots[number]}
            group |= {"number": None if is_cut else self._numbers.get(key), "kind": kinds[number]}
            group |= {"suggested": said.get("name", ""), "alternatives": said.get("alternatives", [])}
            groups.append(group | {"why": reasons({"suggested": said})})
        facts = {
            "version": self._version(),
            "groups": groups,
            "cut": is_cut,
            "undo": self._step(last_step(self.entries)),
            "redo": self._step(self.corrected.log.redoable()),
            "n_hidden": int((flags & HIDDEN > 0).sum()),
            "n_corrections": sum(not entry.undone for entry in self.entries),
        }
        return pack(facts, group=labels, flags=flags)

    def _kind_of(self, labels: npt.NDArray[np.int32], n: int) -> list[str]:
        """Return the kind that most pictures of each group are of, empty where the run does not tell kinds."""
        if not self._kinds:
            return [""] * n
        coarse = np.asarray(self.clusters.levels[:, 0], np.int64)
        both = (labels >= 0) & (coarse >= 0)
        n_kinds = int(coarse.max(initial=0)) + 1
        votes = np.bincount(labels[both] * n_kinds + coarse[both], minlength=n * n_kinds).reshape(n, n_kinds)
        return [self._kinds.get(kind, "") for kind in votes.argmax(1).tolist()]

    def _cut(self, n_groups: int) -> IntArray:
        """Return keys of coarser or finer groups: those of the run merged or divided, what was corrected following.

        Coarser groups are of whole groups as they are now. A finer one is of the pictures of one group; those that were
        moved into it are in its largest part.
        """
        merges = self.clusters.merges
        assert merges is not None
        cut = cut_at(np.asarray(self.clusters.levels[:, -1], np.int64), np.asarray(merges, np.int64), n_groups)
        found = np.asarray(self.clusters.labels)
        known, now = np.unique(self._keys, return_inverse=True)
        run_keys = {number: key for key, number in self._numbers.items()}
        own = np.array([self.state.resolve(run_keys.get(group, NOWHERE)) for group in range(found.max(initial=-1) + 1)])
        stayed = (self._keys != NOWHERE) & (found >= 0)
        stayed[stayed] = own[found[stayed]] == self._keys[stayed]
        n_cut = len(merges) + 1
        main = n_cut + np.arange(len(known))  # a group that nothing of the run stayed in is one by itself
        pairs, counts = np.unique(now[stayed] * n_cut + cut[stayed], return_counts=True)
        order = np.argsort(counts, kind="stable")  # the last of each group, the most frequent, stands
        main[pairs[order] // n_cut] = pairs[order] % n_cut
        part = main[now]
        if n_groups > len(self._numbers):
            part[stayed] = cut[stayed]
        return by_size(np.where(self._keys != NOWHERE, part, -1))

    def _names(
        self, labels: npt.NDArray[np.int32], keys: Sequence[int], own: Mapping[int, str], *, is_cut: bool
    ) -> list[dict[str, Any]]:
        """Return what is suggested for each group: of these very pictures once `terms` are read, else as in the run."""
        if self.terms is None:
            return [{} if is_cut else self._suggested.get(key, {}) for key in keys]
        taken = {number: own[key] for number, key in enumerate(keys) if key in own}
        return [naming.as_json() for naming in name_groups(self.terms, labels.astype(np.int64), taken=taken)]

    def correct(self, do: str, *, rows: Sequence[int] = (), keys: Sequence[int] = (), name: str | None = None) -> None:
        """Add a correction; see `selfsort.photos.corrected.Corrected.add`."""
        self.corrected.add(do, contents=self.contents(rows), keys=[self._key(key) for key in keys], name=name)
        self._refresh()

    def members(self, key: int) -> tuple[list[str], npt.NDArray[Any]]:
        """Return the contents of a group's pictures that are not locked there, and their features."""
        key = self._key(key)
        rows: dict[str, int] = {}
        for row in np.flatnonzero(self._keys == key).tolist():
            if self.ids[row] not in self.state.locked:
                rows.setdefault(self.ids[row], row)
        if len(rows) < 2 or self.clusters.embedding is None:
            raise DataError("Nothing can be split off: the group has fewer than two pictures that are not locked.")
        return list(rows), np.asarray(self.clusters.embedding[list(rows.values())])

    def split(self, key: int, contents: Sequence[str], labels: IntArray) -> None:
        """Make new groups of all parts of a group but the largest, of what is still in it; see `members`."""
        key, groups = self._key(key), self.state.groups
        pieces: dict[int, list[str]] = {}
        for content, part in zip(contents, labels.tolist(), strict=True):
            if part and groups.get(content) == key and content not in self.state.locked:
                pieces.setdefault(part, []).append(content)
        if not pieces:
            raise DataError("The group has changed meanwhile. Split it again.")
        self.corrected.log.add_together([{"do": "split", "pictures": pictures} for pictures in pieces.values()])
        self._refresh()

    def undo(self, number: int | None = None) -> Entry:
        """Undo a correction, see `selfsort.photos.corrections.Log.undo`."""
        entry = self.corrected.log.undo(number)
        self._refresh()
        return entry

    def redo(self, number: int | None = None) -> Entry:
        """Do again what was undone."""
        entry = self.corrected.log.redo(number)
        self._refresh()
        return entry

    def history(self) -> list[dict[str, Any]]:
        """Return the last corrections, the newest first: ``number``, ``at``, ``undone``, ``said``."""
        firsts = [entry for entry in reversed(self.entries) if entry.step == entry.number][:_N_HISTORY]
        return [{"at": entry.at, "undone": entry.undone, **(self._step(entry) or {})} for entry in firsts]

    def described_picture(self, row: int, facts: Facts) -> dict[str, Any]:
        """Return what is known of one picture, for people."""
        items, content = self.clusters.items, self.ids[row]
        known = {
            name: items.column(name)[row].as_py() for name in ("path", "size", "width", "height", "format", "status")
        }
        camera, text = facts.cameras.get(content) or {}, (facts.texts.get(content) or {}).get("text", "")
        return {
            "row": row,
            **known,
            **facts.details.get(row, {}),
            "camera": " ".join(str(camera[name]) for name in ("make", "model") if camera.get(name)),
            "text": text,
            "amounts": amounts(text)[:_N_AMOUNTS],
            "kind": kind_told(self.clusters, row, self.corrected.catalog.fact("looks", content) if content else None),
            "objects": shown_in(self.clusters, row),
            "faces": len((facts.faces.get(content) or {}).get("faces", ())),
            "people": self._people(content),
            "flaws": [flaw for bit, flaw in enumerate(FLAWS) if facts.flaws[row] >> bit & 1],
            "copies": self._n_copies[content] - 1 if content else 0,
        }

    def _people(self, content: str) -> list[dict[str, Any]]:
        """Return number and name of the persons in a picture; read each time, as they may be forgotten at any time."""
        catalog = self.corrected.catalog
        numbers = in_order(catalog.fact(PERSONS, content))
        names = catalog.person_names() if numbers else {}
        return [{"person": number, "name": named([number], names)[0]} for number in numbers]

    def name_person(self, person: int, name: str) -> None:
        """See `selfsort.photos.persons.name_persons`."""
        name_persons_in(self.corrected.catalog, {person: name})

    def search(self, words: str, paths: Sequence[str]) -> list[int]:
        """Return the rows of pictures all words are in the text of, or the path, or a person's name (``person 3``)."""
        wanted = words.casefold().split()
        if not wanted:
            return []
        found = set(self.corrected.catalog.search(words))
        found |= self._contents_of_persons(wanted)
        return [
            row
            for row, (content, path) in enumerate(zip(self.ids, paths, strict=True))
            if content and (content in found or all(word in path.casefold() for word in wanted))
        ]

    def _contents_of_persons(self, wanted: list[str]) -> set[str]:
        catalog = self.corrected.catalog
        names = {number: plain(name) for number, name in catalog.person_names().items()}
        called = {number for number, name in names.items() if all(plain(word) in name for word in wanted)}
        if wanted[0] == "person" and len(wanted) == 2 and wanted[1].isascii() and wanted[1].isdigit():
            called.add(int(wanted[1]))
        return {content for content, of in persons(catalog).items() if called.intersection(of)} if called else set()

    def contents(self, rows: Sequence[int]) -> list[str]:
        """Return the contents of pictures by their rows."""
        for row in rows:
            if not 0 <= row < len(self.ids) or not self.clusters.ok[row]:
                raise DataError(f"There is no picture {row} that could be read.")
        return list(dict.fromkeys(self.ids[row] for row in rows))

    def _key(self, key: int) -> int:
        key = self.state.resolve(key)
        if key == NOWHERE or not (self._keys == key).any():
            raise DataError("This group is gone. Reload the page.")
        return key

    def _step(self, entry: Entry | None) -> dict[str, Any] | None:
        """Return the number of a step, what it did in words, and to which pictures."""
        if entry is None:
            return None
        step = [part for part in self.entries[self._index[entry.number] :][:_MAX_STEP] if part.step == entry.step]
        pictures = pictures_of(step, self._n_copies)
        return {"number": entry.number, "said": described(step, self._called, pictures), "pictures": pictures}

    def _called(self, key: int) -> str:
        key = self.state.resolve(key)
        suggested = self._suggested.get(key, {}).get("name")
        number = self._numbers.get(key)
        return self.state.names.get(key) or suggested or (f"group {number}" if number is not None else "your group")
