"""Names for groups, with the evidence for them: "Screenshots · “error” · March 2026", and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from selfsort.clusters import Clusters
from selfsort.photos.catalog import Catalog
from selfsort.photos.persons import PERSONS, VECTORS
from selfsort.photos.places import are_known
from selfsort.photos.telling import SHARE, Found, find_terms
from selfsort.photos.terms import KIND, OBJECT, PEOPLE, SOURCES, TEXT, Terms, terms_of
from selfsort.runtime import folded

__all__ = ["Evidence", "Naming", "Terms", "digest", "name_groups", "suggest", "terms_of"]

#: Raise when the same groups would get other names.
VERSION = 1
#: Two or three objects that are hardly ever found elsewhere name a group if so much of it has one of them, and if they
#: are of different pictures: boats are vehicles.
_TOGETHER, _APART = 0.5, 0.8
_MAX_PARTS, _MAX_EVIDENCE, _MAX_ALTERNATIVES = 3, 8, 5
_PHOTOS = "photos"

IntArray = npt.NDArray[np.int64]


class Evidence(NamedTuple):
    """One reason for a name.

    Attributes
    ----------
    source : str
        One of `selfsort.photos.terms.SOURCES`.
    term : str
    share : float
        Of the group's pictures that have it.
    elsewhere : float
        Share of all other pictures that have it.
    """

    source: str
    term: str
    share: float
    elsewhere: float


@dataclass(frozen=True)
class Naming:
    """A name for one group.

    Attributes
    ----------
    name : str
        Empty if nothing is sure.
    evidence : tuple of Evidence
        Why: first what is in the name.
    alternatives : tuple of str
        Other names that no group has, up to five.
    """

    name: str
    evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return JSON's types, for ``groups.json``."""
        reasons = [
            reason._asdict() | {"share": round(reason.share, 4), "elsewhere": round(reason.elsewhere, 4)}
            for reason in self.evidence
        ]
        return asdict(self) | {"evidence": reasons, "alternatives": list(self.alternatives)}


class _Part(NamedTuple):
    text: str
    strength: float
    reasons: tuple[Found, ...]


@dataclass
class _Proposal:
    """What one group could be called."""

    parts: list[_Part]
    others: list[Found]
    ranked: list[Found]

    @property
    def strength(self) -> float:
        return self.parts[0].strength if self.parts else 0.0

    def names(self) -> Iterator[tuple[str, tuple[Found, ...]]]:
        """Yield names and the reasons for what is in them, the best first."""
        if not self.parts:
            return
        yield _named(self.parts)
        others = [other for other in self.others if self._is_narrower(other)]
        for other in others:  # a bird, where another group is of animals
            if other.source == OBJECT and other.share >= SHARE[OBJECT] and other.sure:
                yield _named([_part(other) if part.reasons[0].source == OBJECT else part for part in self.parts])
        for other in others:
            yield _named([*self.parts[: _MAX_PARTS - 1], _part(other)])

    def _is_narrower(self, other: Found) -> bool:
        """Tell whether a term says more than what is in the name: not that birds are animals, or portraits people."""
        same = [reason for part in self.parts for reason in part.reasons if reason.source == other.source]
        return all(other.source in (OBJECT, TEXT) and other.share < reason.share for reason in same)

    def alternatives(self) -> Iterator[str]:
        """Yield what else it could be called."""
        for n in range(len(self.parts) - 1, 0, -1):
            yield _named(self.parts[:n])[0]
        yield from (name for name, _ in self.names())
        yield from (_named([part])[0] for part in (*self.parts, *map(_part, self.others)))


def digest(catalog: Catalog) -> str:
    """Return what changes when the same groups would get other names."""
    facts = {facet: of for facet, of in catalog.count_facts().items() if facet not in (VECTORS, PERSONS)}
    return f"names {VERSION}, {facts}, places {are_known()}"


def suggest(clusters: Clusters, catalog: Catalog) -> None:
    """Give every group of every level of a run its ``suggested`` name, with evidence and alternatives."""
    terms = terms_of(clusters, catalog)
    for level in range(clusters.levels.shape[1]):
        groups = [group for group in clusters.groups if group["level"] == level]
        taken = {group["group"]: str(group["name"]) for group in groups if group.get("name")}
        namings = name_groups(terms, np.asarray(clusters.levels[:, level], np.int64), taken=taken)
        for group in groups:
            group["suggested"] = namings[group["group"]].as_json()


def name_groups(terms: Terms, labels: IntArray, *, taken: Mapping[int, str] | None = None) -> list[Naming]:
    """Return a name for each group; no two are the same.

    Parameters
    ----------
    terms : Terms
        From `terms_of`.
    labels : ndarray of int64, shape (n,)
        Groups from 0, -1 for none.
    taken : mapping of int to str, optional
        Names that people gave: no other group gets them. What is suggested for such a group is what it would be called
        if the person takes the name back.

    Returns
    -------
    list of Naming, one for each group
    """
    own = dict(taken or {})
    n_groups = int(labels.max(initial=-1)) + 1
    proposals, sizes = _proposals(terms, labels, n_groups)
    owners = Counter(folded(name) for name in own.values())
    used = dict.fromkeys(owners, 1)
    chosen: dict[int, tuple[str, tuple[Found, ...]]] = {}
    for group in sorted(range(n_groups), key=lambda g: (g in own, -proposals[g].strength, -sizes[g], g)):
        mine = folded(own.get(group, ""))
        n_called = used.pop(mine, None) if owners[mine] == 1 else None  # its own name is free to itself
        chosen[group] = _free(proposals[group], used)
        if n_called is not None:
            used[mine] = n_called
    return [_naming(*chosen[group], proposals[group], used) for group in range(n_groups)]


def _proposals(terms: Terms, labels: IntArray, n_groups: int) -> tuple[list[_Proposal], list[int]]:
    """Return what each group could be called, and its size; what the last call found of the same pictures is kept."""
    inside = np.flatnonzero((labels >= 0) & terms.readable)
    rows = inside[np.argsort(labels[inside], kind="stable")]
    sizes = np.bincount(labels[inside], minlength=n_groups)
    members = np.split(rows, sizes.cumsum()[:-1]) if n_groups else []
    keys = [xxhash.xxh3_128_digest(of.tobytes()) for of in members]
    new = [group for group, key in enumerate(keys) if key not in terms.proposals]
    if new:
        found = find_terms(terms, np.concatenate([members[group] for group in new]), sizes[new])
        terms.proposals.update(
            (keys[group], _proposal(of, terms, members[group])) for group, of in zip(new, found, strict=True)
        )
    for key in terms.proposals.keys() - set(keys):
        del terms.proposals[key]
    return [terms.proposals[key] for key in keys], sizes.tolist()


def _naming(name: str, reasons: tuple[Found, ...], proposal: _Proposal, used: Mapping[str, int]) -> Naming:
    more = [
        found
        for found in proposal.ranked
        if found.term != _PHOTOS and not any(found is reason for reason in reasons)  # most things are photographs
    ]
    evidence = tuple(map(_evidence, (*reasons, *more)[:_MAX_EVIDENCE]))
    alternatives: dict[str, str] = {}
    for other in proposal.alternatives():
        low = folded(other)
        if low not in used and low not in alternatives:
            alternatives[low] = other
            if len(alternatives) == _MAX_ALTERNATIVES:
                break
    return Naming(name, evidence, tuple(alternatives.values()))


def _free(proposal: _Proposal, used: dict[str, int]) -> tuple[str, tuple[Found, ...]]:
    """Return the best name that no other group has, at last with a number; `used` knows where to go on counting."""
    first: tuple[str, tuple[Found, ...]] = ("", ())
    for name, reasons in proposal.names():
        first = first if first[0] else (name, reasons)
        if folded(name) not in used:
            used[folded(name)] = 1
            return name, reasons
    if not first[0]:
        return first
    base = number = folded(first[0])
    while number in used:
        used[base] += 1
        number = f"{base} {used[base]}"
    used[number] = 1
    return f"{first[0]} {used[base]}", first[1]


def _proposal(found: Sequence[Found], terms: Terms, rows: IntArray) -> _Proposal:
    """Choose what stands in the name of one group: what it is first, then what is read in it, where and when."""
    ranked = sorted(found, key=lambda of: -of.strength)
    best: dict[int, Found] = {}
    for of in ranked:
        if of.sure:
            best.setdefault(of.source, of)
    kind = best.pop(KIND, None)
    parts = {source: _part(of) for source, of in best.items()}
    if kind is not None and kind.term != _PHOTOS:
        parts[KIND] = _part(kind)
    elif PEOPLE in parts:  # clothes, or what they hold
        parts.pop(OBJECT, None)
    elif OBJECT not in best or best[OBJECT].share < SHARE[OBJECT]:
        together = _together(ranked, terms, rows)
        parts |= {OBJECT: together} if together is not None else {}
    if kind is not None and kind.most and not parts:
        parts[KIND] = _part(kind)
    order = sorted(parts)
    while len(order) > _MAX_PARTS:
        order.remove(min(order[1:], key=lambda source: parts[source].strength))
    named = _reasons([parts[source] for source in order])
    others = [of for of in ranked if of.source != KIND and not any(of is reason for reason in named)]
    return _Proposal([parts[source] for source in order], others, ranked)


def _together(ranked: Sequence[Found], terms: Terms, rows: IntArray) -> _Part | None:
    """Return two or three objects that are most of a group together, where none is alone."""
    objects = sorted([of for of in ranked if of.rare][:3], key=lambda of: -of.share)
    for n in (2, 3):
        names = [of.term for of in objects[:n]]
        apart = sum(of.share for of in objects[:n])
        if len(names) == n and terms.share_of_any(rows, OBJECT, names) >= max(_TOGETHER, _APART * apart):
            return _Part(", ".join(names), min(of.strength for of in objects[:n]), tuple(objects[:n]))
    return None


def _evidence(found: Found) -> Evidence:
    return Evidence(SOURCES[found.source], found.term, found.share, found.elsewhere)


def _shown(found: Found) -> str:
    """Return a term as it stands in a name; what was read in pictures is in quotation marks."""
    return f"“{found.term}”" if found.source == TEXT else found.term


def _part(found: Found) -> _Part:
    return _Part(_shown(found), found.strength, (found,))


def _named(parts: Sequence[_Part]) -> tuple[str, tuple[Found, ...]]:
    """Return the name of these parts, and the reasons for it."""
    name = " · ".join([part.text for part in parts])
    return name[:1].upper() + name[1:], _reasons(parts)


def _reasons(parts: Sequence[_Part]) -> tuple[Found, ...]:
    return tuple([reason for part in parts for reason in part.reasons])
