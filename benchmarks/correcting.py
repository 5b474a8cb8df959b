"""What kinds and corrections do for the groups of `organize`.

    SELFSORT_DATA=... python benchmarks/correcting.py [kinds] [corrections]

kinds: AMI of the groups with and without facets, over seeds, on sets of photographs and of other pictures; of the photo
library also over the half that the model of kinds was not trained on (see kind.py).
corrections: forty pictures, drawn at random from those that are not where their label is at home, are put there, and
the library is organized again; only the other pictures are scored. A label's home is the group where it is the most
frequent, each group being home to one label; for labels without one a new group is made. With "and merges", two groups
that have the same most frequent label are made one first, each merge counting as one of the forty.
Labels stand for the person who corrects; nothing else sees them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from choosing import libraries
from learning import sets
from record import record
from selfsort import Clusters, Settings, organize
from selfsort.photos.catalog import catalog_path
from selfsort.photos.corrected import Corrected
from selfsort.photos.corrections import NOWHERE
from selfsort.sources import open_source

N_SEEDS, N_SIMULATIONS, N_CORRECTIONS = 5, 10, 40


def kinds() -> None:
    """Record the groups with and without kinds."""
    for name, pictures, labels in sets():
        if not isinstance(pictures, Path):
            continue  # arrays have no files to look at
        parts = {name: labels != ""}
        if name == "photo library":
            rows = np.flatnonzero(labels != "")
            unseen = np.zeros(len(labels), bool)
            unseen[rows[np.random.default_rng(0).permutation(len(rows))[len(rows) // 2 :]]] = True
            parts[f"{name}, the half not trained on"] = unseen
        for facets in (False, True):
            with tempfile.TemporaryDirectory() as folder:  # with a catalog, so that pictures are looked at once
                run = Path(folder, "run")
                runs = [organize(pictures, run, settings=Settings(facets=facets, seed=s)) for s in range(N_SEEDS)]
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


def corrections() -> None:
    """Record what forty corrections teach."""
    for name, archive, rows in libraries():
        with open_source(archive) as source:
            truth = np.array([rows.get(item.path, "") for item in source.items])
        for merges in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder, "run")
                organize(archive, run)
                found = [_simulate(archive, run, truth, seed, merges=merges) for seed in range(N_SIMULATIONS)]
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
                    for key in ("before", "corrected", "taught")
                },
                gain=[round(of["taught"] - of["before"], 4) for of in found],
                n_merges=[of["n_merges"] for of in found],
                violated=sum(of["violated"] for of in found),
                seconds=round(float(np.mean([of["seconds"] for of in found])), 2),
            )


def _simulate(archive: Path, original: Path, truth: np.ndarray, seed: int, *, merges: bool) -> dict[str, Any]:
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
                    own[label] = NOWHERE - entry
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
            "violated": sum(after.groups[ids[row]] != wanted.groups[ids[row]] for row in drawn),
            "n_merges": n_merges,
            "seconds": seconds,
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
    wanted = sys.argv[1:] or ["kinds", "corrections"]
    if "kinds" in wanted:
        kinds()
    if "corrections" in wanted:
        corrections()


if __name__ == "__main__":
    main()
