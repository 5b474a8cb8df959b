"""The main job on real pictures: how good the groups are, and that nothing brings it down."""

import csv
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from selfsort import Clusters, Settings, evaluate, organize

sys.path.insert(0, str(Path(__file__).parent.parent))
from test_resume import assert_killed_runs_are_finished

pytestmark = pytest.mark.slow
SEEDS = range(5)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all tests here, so that every picture is encoded once."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cache")
    patch.setenv("SELFSORT_CACHE", str(folder))
    yield folder
    patch.undo()


def members(path):
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}


def scores(pictures, labels, **options):
    """Return mean and standard deviation over the seeds of AMI and ARI."""
    rows, groups = [], []
    for seed in SEEDS:
        clusters = organize(pictures, settings=Settings(seed=seed, **options))
        found = evaluate(clusters, labels).scores
        rows.append((found["ami"], found["ari"]))
        groups.append(clusters.run["n_groups"])
    print(f"{pictures.name}: AMI, ARI {np.mean(rows, 0).round(4)} ± {np.std(rows, 0).round(4)}, groups {groups}")
    return np.mean(rows, 0), np.std(rows, 0)


def test_caltech_101(data, cache):
    pictures = data / "caltech101" / "caltech101_160.tar"
    (ami, ari), spread = scores(pictures, "folders", looks=False)
    assert ami >= 0.87
    assert ari >= 0.72
    assert spread.max() <= 0.01
    (with_looks, _), _ = scores(pictures, "folders")  # kinds and what is shown are of no use where all is photographs
    assert with_looks > ami - 0.005


def test_an_earlier_layer_tells_handwriting_apart(cache):
    """Of which the last layer, that knows the things on photographs, knows less."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = (digits.images * 255 / 16).round().astype(np.uint8)
    usual, learned = (organize(pictures, settings=Settings(learn=learn)) for learn in (False, True))
    assert learned.run["learned"]["weight"] > 0
    before, now = (adjusted_mutual_info_score(digits.target, run.labels) for run in (usual, learned))
    assert now > before + 0.03


def test_a_mixed_photo_library(data, cache):
    photos = data / "photos"
    (ami, ari), spread = scores(photos / "f1_library.tar", photos / "f1_library_labels.csv")
    assert ami >= 0.75
    assert ari >= 0.57
    assert spread.max() <= 0.03


def test_every_edge_case_has_a_status(data, cache, tmp_path):
    photos = data / "photos"
    run = tmp_path / "run"
    organize(photos / "f1_edge_cases.tar", run)
    clusters = Clusters.load(run)
    statuses = dict(
        zip(
            clusters.items.column("path").to_pylist(),
            clusters.items.column("status").to_pylist(),
            strict=True,
        )
    )
    with (photos / "f1_edge_cases.csv").open(encoding="utf-8", newline="") as file:
        expected = {row["file"]: row["pillow_result"] for row in csv.DictReader(file)}
    assert set(statuses) == set(expected)
    assert all(statuses.values())
    unread = {name: status for name, status in statuses.items() if status != "ok" and expected[name] == "ok"}
    assert unread == {}
    assert (clusters.labels[~clusters.ok] == -1).all()


def damage(content, rng):
    """Cut, overwrite or flip something at random."""
    content = bytearray(content)
    kind = rng.integers(4)
    at = int(rng.integers(len(content)))
    if kind == 0:
        return bytes(content[:at])
    if kind == 1:
        length = int(rng.integers(1, 2000))
        content[at : at + length] = rng.bytes(min(length, len(content) - at))
    elif kind == 2:
        for place in rng.integers(0, len(content), 20):
            content[place] ^= 1 << int(rng.integers(8))
    else:  # near the start, where the formats keep their numbers
        for place in rng.integers(0, min(600, len(content)), 4):
            content[place] = int(rng.integers(256))
    return bytes(content)


def test_a_thousand_damaged_files(data, cache, tmp_path):
    rng = np.random.default_rng(0)
    whole = [*members(data / "photos" / "f1_library.tar").values()]
    whole += 3 * [*members(data / "photos" / "f1_edge_cases.tar").values()]
    whole = [content for content in whole if content]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(1000):
        (pictures / f"{i:04d}").write_bytes(damage(whole[i % len(whole)], rng))
    clusters = organize(pictures, tmp_path / "run")
    assert len(clusters.items) == 1000
    statuses = clusters.items.column("status").to_pylist()
    assert all(status and "\n" not in status for status in statuses)
    assert 50 < sum(status != "ok" for status in statuses) < 950
    assert (clusters.labels[~clusters.ok] == -1).all()
    assert np.isfinite(np.asarray(clusters.embedding, np.float32)).all()


def test_a_damaged_archive(data, cache, tmp_path):
    rng = np.random.default_rng(1)
    content = (data / "photos" / "f1_edge_cases.tar").read_bytes()
    for number in range(5):
        path = tmp_path / f"{number}.tar"
        cut = bytearray(content[: int(rng.integers(len(content) // 4, len(content)))])
        for place in rng.integers(1024, len(cut), 50):
            cut[place] = int(rng.integers(256))
        path.write_bytes(cut)
        clusters = organize(path)
        assert len(clusters.items) > 0


def test_twenty_kills(data, tmp_path):
    assert_killed_runs_are_finished(data / "photos" / "f1_library.tar", tmp_path, 20)
