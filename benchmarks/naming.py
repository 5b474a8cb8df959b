"""How often the suggested names of groups are right, and how long naming takes.

    SELFSORT_DATA=... python benchmarks/naming.py [right] [speed] [show]

right: `organize` on labeled sets of pictures; a group's name is right if its first part is a word for the label that
most of the group's pictures have. Words are listed here for the photo library's labels; of Caltech-101 the category's
own words count and nothing else, so a group of ketches named "Boat" is not right there.
speed: `name_groups` on 100,000 pictures in 1,000 groups, with made-up terms: all of them, and after ten pictures moved.
show: print every name beside the labels of its group.
Labels are seen by these comparisons alone.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from choosing import libraries
from record import record
from selfsort import organize
from selfsort.clusters import name_of
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.naming import name_groups
from selfsort.photos.terms import SOURCES, Terms, terms_of

#: What a group of the photo library's label may be called, word by word; broader names of an object count too.
WORDS = {
    "animal": "animal mammal bird dog cat fish insect reptile snake spider amphibian frog lizard turtle crab butterfly "
    "horse cow bear monkey primate wildlife pet canine feline carnivore crustacean arthropod vertebrate invertebrate",
    "building": "building structure architecture house church castle palace tower monastery dome bridge mosque temple "
    "construction place landmark",
    "chart": "chart",
    "document": "document",
    "food": "food fruit vegetable dish dessert bread pizza produce meal drink beverage ice cream plate",
    "greeting": "poster",
    "landscape": "landscape nature mountain valley seashore coast beach lake lakeside geological formation scenery alp "
    "cliff volcano water",
    "meme": "meme",
    "object": "object device instrument furniture container tool equipment appliance clothing kitchenware utensil "
    "household artifact machine electronics item instrumentality vessel footwear garment",
    "people": "people person portrait face",
    "plant": "plant flower tree mushroom fungus daisy",
    "screenshot": "screenshot",
    "vehicle": "vehicle car boat ship aircraft airplane bus truck train bicycle motorcycle",
}
#: Labels of what is photographed: the group of all of them is rightly called photos.
PHOTOGRAPHED = ("animal", "building", "food", "landscape", "object", "people", "plant", "vehicle")
N_PICTURES, N_GROUPS, N_TERMS = 100_000, 1_000, 20_000


def words(text: str) -> set[str]:
    """Return the words of a text in lower case and the singular, as far as an s tells it."""
    found = re.findall(r"[^\W_]+", text.casefold())
    return {word[:-1] if word.endswith("s") and not word.endswith("ss") else word for word in found}


def objects() -> tuple[list[str], dict[str, str]]:
    """Return the classifier's names, and what is broader than each; empty where it is not there."""
    try:
        module = importlib.import_module("selfsort.photos.objects")
    except ModuleNotFoundError:
        return [], {}
    broader = [of if isinstance(of, str) else " ".join(of) for of in module.broader()]
    return list(module.names()), dict(zip(module.names(), broader, strict=True))


def right() -> None:
    """Record how often names are right."""
    names, broader = objects()
    known = set().union(*map(words, names)) if names else set()
    for data, archive, rows in libraries():
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder, "run")
            clusters = organize(archive, run)
            with Catalog(catalog_path(run)) as catalog:
                n_known = terms_of(clusters, catalog).known.sum(0).tolist()
        truth = np.array([rows.get(path, "") for path in clusters.items.column("path").to_pylist()])
        for level in range(clusters.levels.shape[1]):
            table = [
                (name_of(group), truth[(clusters.levels[:, level] == group["group"]) & (truth != "")])
                for group in clusters.groups
                if group["level"] == level
            ]
            table = [(name, labels) for name, labels in table if len(labels)]
            if "show" in sys.argv:
                for name, labels in table:
                    print(f"  {name:45} {', '.join(f'{k} {n}' for k, n in Counter(labels.tolist()).most_common(3))}")
            accepted = {label: words(WORDS.get(label, label)) for label in np.unique(truth).tolist()}
            for label in PHOTOGRAPHED:
                accepted.get(label, set()).add("photo")
            record(
                "naming",
                what="names",
                data=data,
                level=level,
                default=level == clusters.run["level"],
                known=dict(zip(SOURCES, n_known, strict=True)),
                **_scores(table, accepted, broader, known),
            )


def _scores(
    table: list[tuple[str, np.ndarray]], accepted: dict[str, set[str]], broader: dict[str, str], known: set[str]
) -> dict[str, Any]:
    """Return shares of groups, and of pictures, whose name is right."""
    n_groups = n_named = n_right = n_anywhere = n_possible = n_right_possible = 0
    n_pictures = n_named_pictures = n_right_pictures = 0
    for name, labels in table:
        parts = [words(part) | words(broader.get(part.casefold(), "")) for part in re.split(r" · |, ", name)]
        first = parts[0] | (parts[1] if ", " in name.split(" · ")[0] else set())
        majority = Counter(labels.tolist()).most_common(1)[0][0]
        is_right = bool(first & accepted[majority])
        is_possible = bool(accepted[majority] & known)
        n_groups, n_named, n_right = n_groups + 1, n_named + bool(name), n_right + is_right
        n_anywhere += any(part & accepted[majority] for part in parts)
        n_possible, n_right_possible = n_possible + is_possible, n_right_possible + (is_right and is_possible)
        n_pictures += len(labels)
        n_named_pictures += len(labels) * bool(name)
        n_right_pictures += sum(bool(first & accepted[label]) for label in labels.tolist())
    return {
        "n_groups": n_groups,
        "named": round(n_named / n_groups, 4),
        "right_of_named": round(n_right / max(n_named, 1), 4),
        "right_anywhere_of_named": round(n_anywhere / max(n_named, 1), 4),
        "n_possible": n_possible,
        "right_of_possible": round(n_right_possible / max(n_possible, 1), 4),
        "pictures_in_named": round(n_named_pictures / n_pictures, 4),
        "pictures_right_of_named": round(n_right_pictures / max(n_named_pictures, 1), 4),
    }


def speed() -> None:
    """Record how long it takes to name the groups of a large library anew, the fastest and the slowest of ten."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, N_GROUPS, N_PICTURES)
    everyone, with_text = np.arange(N_PICTURES), np.arange(N_PICTURES * 3 // 10)
    bounds = {"kind": (0, 6), "people": (6, 9), "object": (9, 1_100), "text": (1_100, 18_000)}
    bounds |= {"place": (18_000, 19_000), "time": (19_000, N_TERMS)}

    def leaning(source: str, rows: np.ndarray, shift: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        first, last = bounds[source]
        own, any_term = (labels[rows] * 7 + shift) % (last - first), rng.integers(0, last - first, len(rows))
        return rows, first + np.where(rng.random(len(rows)) < share, own, any_term)

    pairs = [leaning("kind", everyone, 0, 0.9), leaning("people", everyone[:30_000], 0, 0.3)]
    pairs += [leaning("object", everyone, 13 * i, 0.6) for i in range(3)]
    pairs += [leaning("text", with_text, 17 * i, 0.3) for i in range(25)]
    pairs += [leaning("place", everyone, 300 * i, 0.6) for i in range(3)] + [leaning("time", everyone, 0, 0.6)]
    rows, columns = (np.concatenate(of) for of in zip(*pairs, strict=True))
    has = sparse.csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=(N_PICTURES, N_TERMS))
    has.data[:] = 1
    known = np.ones((N_PICTURES, len(SOURCES)), bool)
    known[len(with_text) :, SOURCES.index("text")] = False
    sources = np.repeat([SOURCES.index(source) for source in bounds], [last - first for first, last in bounds.values()])
    months = 12 * 2005 + np.where(rng.random(N_PICTURES) < 0.7, labels % 240, rng.integers(0, 240, N_PICTURES))
    terms = Terms(
        has,
        tuple(f"term {i}" for i in range(N_TERMS)),
        sources,
        known,
        np.zeros(N_TERMS, bool),
        np.ones(N_PICTURES, bool),
        months,
    )
    for what in ("all groups", "after a correction"):
        seconds = []
        for _ in range(20):
            labels[rng.choice(np.flatnonzero(labels == labels[0]), 10)] = rng.integers(N_GROUPS)
            if what == "all groups":
                terms.proposals.clear()
            start = time.perf_counter()
            namings = name_groups(terms, labels)
            seconds.append(time.perf_counter() - start)
        best, middle, worst = (round(1000 * float(of)) for of in np.quantile(seconds, (0, 0.5, 1)))
        record(
            "naming",
            what="speed",
            data=f"{what}; {N_PICTURES:,} pictures, {N_GROUPS:,} groups, {has.nnz:,} terms of pictures",
            milliseconds=[best, middle, worst],
            named=sum(bool(naming.name) for naming in namings) / N_GROUPS,
        )


def main() -> None:
    wanted = [word for word in sys.argv[1:] if word != "show"] or ["right", "speed"]
    if "right" in wanted:
        right()
    if "speed" in wanted:
        speed()


if __name__ == "__main__":
    main()
