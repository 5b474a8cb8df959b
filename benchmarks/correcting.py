"""What kinds and corrections do for the groups of `organize`.

    SELFSORT_DATA=... python benchmarks/correcting.py [kinds] [corrections] [locks] [only=SET]

kinds: AMI of the groups with and without facets, over seeds, on sets of photographs and of other pictures; of the photo
library also over the half that the model of kinds was not trained on (see kind.py), and without its samples of
ImageNet, by which the encoder learned what things are.
corrections: forty pictures, drawn at random from those that are not where their label is at home, are put there, and
the library is organized again; only the other pictures are scored. A label's home is the group where it is the most
frequent, each group being home to one label; for labels without one a new group is made. With "and merges", two groups
that have the same most frequent label are made one first, each merge counting as one of the forty.
As a measure of how much there is to learn, the same pictures are scored as a linear classifier groups them, each tenth
of all by one that knows the labels of the others; it sees what corrections are learned from.
locks: forty other corrections, drawn at random: ten pictures locked where they are; ten pairs of one label in different
groups linked; ten pairs of different labels in one group parted; ten pictures away from home said not to belong there.
Then the library is organized again, as before and with finer and coarser groups. Counted is which of the forty do not
hold, and how many of the locked are in another group of a run of those settings without corrections.
Of corrections, beside the two libraries: the photo library without those samples; 900 small pictures whose groups are
poor; and pictures of 30 things under 14 labels, each of them for things that look alike, so that most groups are to
become one with another.
Labels stand for the person who corrects; nothing else sees them.
"""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.model_selection import cross_val_predict

from choosing import libraries
from learning import sets
from record import record
from selfsort import Clusters, Settings, load_dataset, organize
from selfsort.features.project import unit_rows
from selfsort.methods.base import encode_pictures
from selfsort.photos import library
from selfsort.photos.catalog import catalog_path
from selfsort.photos.corrected import Corrected
from selfsort.photos.state import NOWHERE, own_key
from selfsort.sources import open_source

N_SEEDS, N_SIMULATIONS, N_CORRECTIONS = 5, 10, 40


def kinds(only: str) -> None:
    """Record the groups with and without kinds."""
    for name, pictures, labels in sets():
        if not isinstance(pictures, Path) or only not in ("", name):
            continue  # arrays have no files to look at
        parts = {name: labels != ""}
        if name == "photo library":
            rows = np.flatnonzero(labels != "")
            unseen = np.zeros(len(labels), bool)
            unseen[rows[np.random.default_rng(0).permutation(len(rows))[len(rows) // 2 :]]] = True
            parts[f"{name}, the half not trained on"] = unseen
            with open_source(pictures) as source:
                paths = [item.path for item in source.items]
            parts[f"{name}, no samples of ImageNet"] = parts[name] & ~np.isin(paths, samples_of_imagenet())
        for facets in (False, True):
            with tempfile.TemporaryDirectory() as folder:  # with a catalog, so that pictures are looked at once
                run = Path(folder, "run")
                runs = [organize(pictures, run, settings=Settings(looks=facets, seed=s)) for s in range(N_SEEDS)]
            for part, scored in parts.items():
                amis = [adjusted_mutual_info_score(labels[scored], run.labels[scored]) for run in runs]
                record(
                    "kinds",
                    data=part,
                    facets=facets,
                    ami=[round(float(np.mean(amis)), 4), round(float(np.std(amis)), 4)],
                    n_groups=[run.run["n_groups"] for run in runs],
                    seeds=N_SEEDS,
                )


def _classified(archive: Path, run: Path, truth: np.ndarray) -> np.ndarray:
    """Organize, and return the labels that a linear classifier gives each tenth of the pictures, of what was seen."""
    with patch.object(library, "teach", wraps=library.teach) as taught:
        clusters = organize(archive, run)
    _, vectors, _, contents, _ = taught.call_args.args
    row_of = {content: row for row, content in enumerate(contents)}
    seen = vectors[[row_of[content] for content in clusters.items.column("id").to_pylist()]]
    known = truth != ""
    found = truth.copy()
    found[known] = cross_val_predict(LogisticRegression(C=10, max_iter=1000), seen[known], truth[known], cv=10)
    return found


def poor(folder: Path) -> tuple[str, Path, dict[str, str]]:
    """Return name, pictures and labels of a set of which features tell little."""
    data = load_dataset("cifar-10", "test")
    rows = {f"{i:03}.png": str(label) for i, label in enumerate(data.labels[:900])}
    for name, image in zip(rows, data.images, strict=False):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / name)
    return "CIFAR-10 test, 900 images", folder, rows


def samples_of_imagenet() -> list[str]:
    """Return the paths of those pictures of the photo library."""
    _, archive, _ = next(libraries())
    with open(archive.with_name("f1_library_labels.csv"), encoding="utf-8") as file:
        return [row["file"] for row in csv.DictReader(file) if "imagenet" in row["source_repo"]]


def unknown(folder: Path) -> tuple[str, Path, dict[str, str]]:
    """Return name, pictures and labels of the photo library without the samples of what the encoder learned from."""
    _, archive, labels = next(libraries())
    known = samples_of_imagenet()
    with open_source(archive) as source:
        for row, item in enumerate(source.items):
            if item.path not in known:
                (folder / item.path).write_bytes(source.read(row))
    return "photo library without ImageNet", folder, {path: of for path, of in labels.items() if path not in known}


def coarse(folder: Path) -> tuple[str, Path, dict[str, str]]:
    """Return name, pictures and labels of a set with several groups to a label."""
    archive, labels = next((archive, rows) for name, archive, rows in libraries() if name == "Caltech-101")
    features, paths = encode_pictures(archive)
    vectors, truth = unit_rows(features), np.array([labels.get(path, "") for path in paths])
    rng = np.random.default_rng(2000)
    names = rng.choice(np.unique(truth[truth != ""]), 30, replace=False)
    taken = [rng.permutation(np.flatnonzero(truth == name))[: rng.integers(15, 80)].tolist() for name in names]
    means = np.stack([vectors[truth == name].mean(0) for name in names])
    parts = fcluster(linkage(means, "average", metric="cosine"), 14, "maxclust")
    rows: dict[str, str] = {}
    with open_source(archive) as source:
        for part, members in zip(parts, taken, strict=True):
            for row in members:
                rows[f"{row:05}.jpg"] = str(part)
                (folder / f"{row:05}.jpg").write_bytes(source.read(row))
    return "Caltech-101, 30 classes under 14 labels", folder, rows


def corrected_sets(folder: Path) -> Iterator[tuple[str, Path, dict[str, str]]]:
    """Yield name, pictures and labels of what is corrected."""
    yield from libraries()
    for make in (unknown, poor, coarse):
        place = folder / make.__name__
        place.mkdir()
        yield make(place)


def corrections(only: str) -> None:
    """Record what forty corrections teach."""
    with tempfile.TemporaryDirectory() as folder:
        for name, pictures, rows in corrected_sets(Path(folder)):
            if only in ("", name):
                _record_corrections(name, pictures, rows)


def _record_corrections(name: str, archive: Path, rows: dict[str, str]) -> None:
    with open_source(archive) as source:
        truth = np.array([rows.get(item.path, "") for item in source.items])
    for merges in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder, "run")
            classified = _classified(archive, run, truth)
            found = [_simulate(archive, run, truth, classified, seed, merges=merges) for seed in range(N_SIMULATIONS)]
        record(
            "corrections",
            data=name,
            merges=merges,
            n_corrections=N_CORRECTIONS,
            seeds=N_SIMULATIONS,
            **{
                key: [
                    round(float(np.mean([of[key] for of in found])), 4),
                    round(float(np.std([of[key] for of in found])), 4),
                ]
                for key in ("before", "corrected", "taught", "classified")
            },
            gain=[round(of["taught"] - of["before"], 4) for of in found],
            n_merges=[of["n_merges"] for of in found],
            violated=sum(of["violated"] for of in found),
            seconds=round(float(np.mean([of["seconds"] for of in found])), 2),
        )


def _simulate(
    archive: Path, original: Path, truth: np.ndarray, classified: np.ndarray, seed: int, *, merges: bool
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        shutil.copytree(original, run)
        shutil.copy(catalog_path(original), catalog_path(run))
        clusters = Clusters.load(run)
        paths, ids = clusters.items.column("path").to_pylist(), clusters.items.column("id").to_pylist()
        first = clusters.labels.copy()
        homes, same = _homes(truth, first)
        own: dict[str, int] = {}
        n_merges, drawn = 0, []
        with Corrected(run) as corrected:
            now = first.copy()
            for group, home in same.items() if merges else ():
                corrected.correct("merge", groups=[home, group])
                now[now == group] = home
                n_merges += 1
            home_of = np.array([homes.get(label, -2) for label in truth])
            away = np.flatnonzero((truth != "") & (now != home_of))
            drawn = rng.choice(away, min(len(away), N_CORRECTIONS - n_merges), replace=False)
            for row in drawn:
                label = truth[row]
                if label in homes or label in own:
                    corrected.correct("move", groups=[homes.get(label, own.get(label))], paths=[paths[row]])
                else:
                    (entry,) = corrected.correct("split", paths=[paths[row]])
                    own[label] = corrected.numbers(corrected.state())[own_key(entry)]
            wanted = corrected.state()
        others = truth != ""
        others[drawn] = False
        start = time.perf_counter()
        taught = organize(archive, run)
        seconds = time.perf_counter() - start
        with Corrected(run) as corrected:
            after = corrected.state()
        directly = np.array([wanted.groups.get(content, NOWHERE) for content in ids])
        return {
            "before": adjusted_mutual_info_score(truth[others], first[others]),
            "corrected": adjusted_mutual_info_score(truth[others], directly[others]),
            "taught": adjusted_mutual_info_score(truth[others], taught.labels[others]),
            "classified": adjusted_mutual_info_score(truth[others], classified[others]),
            "violated": sum(after.groups[ids[row]] != wanted.groups[ids[row]] for row in drawn),
            "n_merges": n_merges,
            "seconds": seconds,
        }


def locks(only: str) -> None:
    """Record whether forty corrections of other kinds hold."""
    for name, archive, rows in libraries():
        if only not in ("", name):
            continue
        with open_source(archive) as source:
            truth = np.array([rows.get(item.path, "") for item in source.items])
        for granularity in (1.0, 3.0, 0.5):
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder, "run")
                organize(archive, run)
                settings = Settings(granularity=granularity, seed=1)
                found = [_simulate_locks(archive, run, truth, settings, seed) for seed in range(N_SIMULATIONS)]
            record(
                "locks",
                data=name,
                granularity=granularity,
                seeds=N_SIMULATIONS,
                **{key: sum(of[key] for of in found) for key in found[0]},
            )


def _simulate_locks(archive: Path, original: Path, truth: np.ndarray, settings: Settings, seed: int) -> dict[str, int]:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        run, other = Path(folder, "run"), Path(folder, "other")
        for copy in (run, other):
            shutil.copytree(original, copy)
            shutil.copy(catalog_path(original), catalog_path(copy))
        clusters = Clusters.load(run)
        ids, labels = np.array(clusters.items.column("id").to_pylist()), clusters.labels
        homes, _ = _homes(truth, labels)
        known = rng.permutation(np.flatnonzero((truth != "") & (labels >= 0)))
        known = known[np.sort(np.unique(ids[known], return_index=True)[1])]  # of copies one
        locked = known[: N_CORRECTIONS // 4].tolist()
        used = set(locked)

        def pairs(fits: Callable[[int], np.ndarray]) -> list[list[int]]:
            found: list[list[int]] = []
            for row in known.tolist():
                beside = [] if row in used else [b for b in known[fits(row)[known]].tolist() if b not in used]
                if beside and len(found) < N_CORRECTIONS // 4:
                    found.append([row, beside[0]])
                    used.update(found[-1])
            return found

        linked = pairs(lambda row: (truth == truth[row]) & (labels != labels[row]))
        parted = pairs(lambda row: (truth != truth[row]) & (labels == labels[row]))
        away = [row for row in known.tolist() if homes.get(truth[row], -1) != labels[row] and row not in used]
        refused = away[: N_CORRECTIONS // 4]
        with Corrected(run) as corrected:
            for row in locked:
                corrected.add("lock", contents=[ids[row]])
            for do, pairs in (("must-link", linked), ("cannot-link", parted)):
                for pair in pairs:
                    corrected.add(do, contents=ids[pair].tolist())
            for row in refused:
                corrected.add("not-this", contents=[ids[row]])
            before = corrected.state()
        organize(archive, run, settings=settings)
        organize(archive, other, settings=settings)
        with Corrected(run) as corrected, Corrected(other) as without:
            after, free = corrected.state().groups, without.state().groups
        return {
            "n_locked": len(locked),
            "n_locked_that_would_move": sum(free[ids[row]] != before.groups[ids[row]] for row in locked),
            "locked_moved": sum(after[ids[row]] != before.groups[ids[row]] for row in locked),
            "n_linked": len(linked),
            "links_broken": sum(after[ids[a]] != after[ids[b]] for a, b in linked),
            "n_parted": len(parted),
            "parted_together": sum(after[ids[a]] == after[ids[b]] != NOWHERE for a, b in parted),
            "n_refused": len(refused),
            "refused_again": sum(after[ids[row]] in before.rejected[ids[row]] for row in refused),
        }


def _homes(truth: np.ndarray, labels: np.ndarray) -> tuple[dict[str, int], dict[int, int]]:
    """Return the group that is each label's home, and for other groups of the same label that home."""
    names = [name for name in np.unique(truth) if name]
    sizes = {(g, c): int(((labels == g) & (truth == c)).sum()) for g in range(labels.max() + 1) for c in names}
    homes: dict[str, int] = {}
    same: dict[int, int] = {}
    for (group, name), size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size == 0 or size < max(sizes[group, other] for other in names) or group in homes.values() or group in same:
            continue
        if name in homes:
            same[group] = homes[name]
        else:
            homes[name] = group
    return homes, same


def main() -> None:
    only = "".join(word.removeprefix("only=") for word in sys.argv[1:] if word.startswith("only="))
    parts = {"kinds": kinds, "corrections": corrections, "locks": locks}
    for part in [word for word in sys.argv[1:] if not word.startswith("only=")] or parts:
        parts[part](only)


if __name__ == "__main__":
    main()
