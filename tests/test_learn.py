"""`fit`, `resume` and `predict`: from pictures to a run folder with a model, and back from it."""

# ruff: noqa: F811 (fixtures are imported)

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import selfsort
from conftest import snapshot
from fits import ARRAYS, METHODS, SHORT, blobs, dec, digits  # noqa: F401
from selfsort import Clusters, DataError
from selfsort.errors import CollapseWarning
from selfsort.evaluation import evaluate
from selfsort.learn.samples import as_pictures

pytest.importorskip("torch")


@pytest.fixture(scope="module", params=METHODS)
def fitted(request, tmp_path_factory):
    """The digits, fitted by every method."""
    run = tmp_path_factory.mktemp("fits") / request.param
    return selfsort.fit(request.param, "digits", run, params=METHODS[request.param])


# --- the record of a fit


def test_the_run_is_whole_and_says_what_was_done(fitted, digits):
    run = fitted.run
    assert sorted(p.name for p in fitted.path.parent.iterdir()) == [fitted.path.name]  # nothing is left beside it
    assert len(fitted.items) == run["n_items"] == run["n_ok"] == 1797
    assert run["params"].items() >= METHODS[run["method"]].items()
    assert "random_state" not in run["params"]
    assert run["seed"] == 0
    assert run["data"] == {"name": "digits", "split": "all", "n": 1797, "note": ""}
    assert run["samples"] == {"from": "pixels", "shape": [1, 8, 8], "dtype": "uint8"}
    assert set(run["seconds"]) == {"data", "fit", "neighbors", "map", "report"}
    assert fitted.items["path"][42].as_py() == "digits/00042"
    assert fitted.levels.shape[1] == (4 if run["method"] == "graph" else 1)
    assert fitted.neighbors.shape == (1797, 50 if fitted.run["method"] == "temi" else 20)
    assert np.isfinite(fitted.map).all()
    assert 0.5 < fitted.confidence.mean() <= 1
    sizes = np.bincount(fitted.labels)
    assert (np.diff(sizes) <= 0).all()  # the largest group is 0
    assert [group["size"] for group in fitted.groups if group["level"] == run["level"]] == sizes.tolist()
    assert run["n_groups"] == len(sizes)
    assert (fitted.path / "report.html").stat().st_size > 100_000
    assert all(thumbnail.startswith(b"\xff\xd8") for thumbnail in fitted.thumbnails)


def test_scores_come_with_their_protocol_and_labels_steer_nothing(fitted, digits):
    protocol = fitted.run["protocol"]
    assert protocol["fit"] == "fit and scored on digits/all, labels unseen"
    assert protocol["data"] == "digits/all"
    assert "encoder" not in protocol
    assert "None" not in json.dumps(protocol)
    again = evaluate(fitted, digits.labels)
    assert again.scores == fitted.run["scores"]
    assert again.classes == list(digits.classes)
    run = fitted.run
    if run["method"] == "idec":  # as DEC
        return
    bare = selfsort.fit(run["method"], digits.images, params=METHODS[run["method"]])  # an array has no labels
    assert np.array_equal(bare.labels, fitted.labels)
    assert "scores" not in bare.run


def test_a_trained_run_shows_its_training(fitted):
    trained = fitted.run["method"] not in ("kmeans", "graph")
    own = {"iic": "joint-distribution"} | dict.fromkeys(("ae-kmeans", "dec", "idec"), "reconstructions")
    drawn = (["learning-curves"] if trained else []) + [own[name] for name in own if name == fitted.run["method"]]
    assert [figure.name for figure in fitted.figures] == [*drawn, "neighbors"]
    assert bool(fitted.metrics) == trained == ("torch" in fitted.run["versions"])
    if trained:
        assert fitted.run["device"] == "cpu"
        assert fitted.run["precision"] in ("32-true", "bf16-mixed")
    soft = fitted.run["method"] in ("dec", "idec", "iic", "scan", "temi", "turtle")
    assert (fitted.probabilities is not None) == soft
    if soft:
        assert np.array_equal(fitted.probabilities.argmax(1), fitted.labels)
        np.testing.assert_allclose(fitted.probabilities.sum(1), 1, atol=1e-5)


def test_what_is_saved_is_what_was_returned(fitted):
    loaded = Clusters.load(fitted.path)
    for name in ARRAYS:
        assert np.array_equal(getattr(loaded, name), getattr(fitted, name)), name
    assert loaded.run == json.loads(json.dumps(fitted.run))
    assert loaded.figures == fitted.figures
    assert loaded.metrics == fitted.metrics


def test_predicting_the_same_pictures_gives_the_runs_labels(fitted):
    found = selfsort.predict(fitted.path, "digits")
    agreement = (found.labels == fitted.labels).mean()
    assert agreement > 0.99 if fitted.run["method"] == "graph" else agreement == 1
    assert found.paths == fitted.items["path"].to_pylist()
    if fitted.probabilities is not None:
        np.testing.assert_allclose(found.probabilities, fitted.probabilities, atol=1e-5)


def test_predicting_in_another_process_gives_the_runs_labels(dec, tmp_path):
    code = (
        "import sys, numpy, selfsort\n"
        "found = selfsort.predict(sys.argv[1], 'digits')\n"
        "numpy.save(sys.argv[2], found.labels)"
    )
    out = tmp_path / "labels.npy"
    subprocess.run([sys.executable, "-c", code, str(dec.path), str(out)], check=True)
    assert np.array_equal(np.load(out), dec.labels)


def test_the_same_fit_again_touches_nothing_and_another_replaces_it(dec, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(dec.path, run)
    before = snapshot(run)
    again = selfsort.fit("dec", "digits", run, params=SHORT | {"device": "cpu"})  # where it runs is no other fit
    assert snapshot(run) == before
    assert again.run == Clusters.load(run).run
    with pytest.raises(DataError, match="replace"):
        selfsort.fit("kmeans", "digits", run, params={"n_clusters": 3})
    assert snapshot(run) == before
    other = selfsort.fit("kmeans", "digits", run, params={"n_clusters": 3}, replace=True)
    assert Clusters.load(run).run["fingerprint"] == other.run["fingerprint"] != dec.run["fingerprint"]
    assert not (run / "metrics.jsonl").exists()
    assert list(tmp_path.iterdir()) == [run]


@pytest.mark.parametrize("change", [{"seed": 1}, {"params": {"n_clusters": 4}}, {"pixels": 4}])
def test_what_changes_the_result_changes_the_fingerprint(change, digits):
    first = selfsort.fit("kmeans", digits.images[:50], params={"n_clusters": 3})
    options = {"params": {"n_clusters": 3}} | change
    assert selfsort.fit("kmeans", digits.images[:50], **options).run["fingerprint"] != first.run["fingerprint"]


def test_clusters_without_members_are_no_groups(monkeypatch, tmp_path):
    from selfsort.methods.kmeans import KMeans

    whole = KMeans._learn

    def with_an_empty_one(self, samples, work):
        whole(self, samples, work)
        self.cluster_centers_ = np.insert(self.cluster_centers_, 1, 100.0, axis=0)
        self.labels_ = self.labels_ + (self.labels_ >= 1)
        self.n_clusters_ += 1

    monkeypatch.setattr(KMeans, "_learn", with_an_empty_one)
    X = blobs()
    with pytest.warns(CollapseWarning):
        clusters = selfsort.fit("kmeans", X, tmp_path / "run", params={"n_clusters": 3})
    assert clusters.run["n_groups"] == 3
    assert len(clusters.run["clusters"]) == 4
    assert clusters.run["clusters"][3] == 1
    assert len(clusters.groups) == 3
    assert len(clusters.run["warnings"]) == 1
    found = selfsort.predict(tmp_path / "run", np.vstack([X, np.full((1, 5), 100.0)]))
    assert np.array_equal(found.labels[:-1], clusters.labels)
    assert found.labels[-1] == 3


# --- own pictures


def kinds(library, items):
    return [library.kinds.get(path) for path in items["path"].to_pylist()]


@pytest.mark.parametrize("pixels", [None, 16])
def test_own_pictures_by_features_and_by_pixels(library, tmp_path, pixels):
    model = {"n_clusters": 5}
    clusters = selfsort.fit("kmeans", library.root, tmp_path / "run", params=model, pixels=pixels, labels="folders")
    assert len(clusters.items) == len(library)
    status = dict(zip(clusters.items["path"].to_pylist(), clusters.items["status"].to_pylist(), strict=True))
    assert {path for path, state in status.items() if state != "ok"} == set(library.broken)
    assert ((clusters.labels < 0) == ~clusters.ok).all()
    assert {clusters.thumbnail(int(row)) for row in np.flatnonzero(~clusters.ok)} == {None}
    organized = selfsort.organize(library.root)
    for column in ("id", "path", "path_bytes", "size", "width", "height", "format", "status"):
        assert clusters.items[column] == organized.items[column], column
    assert clusters.run["protocol"]["data"] == str(library.root)
    if pixels is None:
        from selfsort.methods.kmeans import KMeans

        with pytest.warns(UserWarning, match="are left out"):
            expected = KMeans(5, random_state=0).fit(library.root)
        assert clusters.run["encoder"] == organized.run["encoder"]
        assert clusters.run["scores"]["ami"] > 0.9
    else:
        from selfsort.methods.kmeans import KMeans

        with pytest.warns(UserWarning, match="are left out"):
            images = selfsort.load_dataset(library.root, size=pixels).images
        expected = KMeans(5, random_state=0).fit(images)
        assert clusters.run["samples"]["shape"] == [3, 16, 16]
    groups, inverse = np.array(clusters.run["clusters"]), clusters.labels[clusters.ok]
    assert np.array_equal(groups[inverse], expected.labels_)
    found = selfsort.predict(tmp_path / "run", library.root)
    assert np.array_equal(found.labels, clusters.labels)
    assert found.status == clusters.items["status"].to_pylist()
    assert {row["path"] for row in found.rows() if row["group"] < 0} == set(library.broken)


def test_a_run_of_organize_places_new_pictures_by_a_vote(library, run):
    found = selfsort.predict(run.path, library.root)
    placed = run.labels >= 0
    assert (found.labels == run.labels)[placed].mean() > 0.95
    assert ((found.labels < 0) == ~run.ok).all()
    one = selfsort.predict(run.path, library.root / "disks/03.png")
    assert one.labels.tolist() == [run.labels[run.items["path"].to_pylist().index("disks/03.png")]]


def test_exports_of_a_fit_are_those_of_any_run(library, tmp_path):
    clusters = selfsort.fit("graph", library.root, tmp_path / "run", pixels=16)
    done = selfsort.export(clusters, tmp_path / "out", mode="copy")
    assert len(done.done) == len(library.kinds)  # each compared with the content that the run saw
    assert {path for path, _ in done.skipped} == set(library.broken)


def test_pictures_are_brought_into_the_models_size_and_colors(digits, tmp_path):
    """Gray, not square, and from files: the same picture in its form gets the same group."""
    images = np.repeat(np.repeat(digits.images[:300], 3, axis=2), 2, axis=3)  # (1, 24, 16)
    run = selfsort.fit("kmeans", images, tmp_path / "run", params={"n_clusters": 10})
    for number in range(20):
        Image.fromarray(images[number, 0]).convert("RGB").save(tmp_path / f"{number:02d}.png")
    paths = [tmp_path / f"{number:02d}.png" for number in range(20)]
    found = selfsort.predict(tmp_path / "run", paths)
    assert (found.labels == run.labels[:20]).mean() > 0.9  # squeezed to a square and back
    color = np.repeat(images[:20], 3, axis=1)
    assert np.array_equal(selfsort.predict(tmp_path / "run", color).labels, run.labels[:20])
    assert np.array_equal(selfsort.predict(tmp_path / "run", images[:20, 0]).labels, run.labels[:20])
    assert (selfsort.predict(tmp_path / "run", "digits").labels[:300] == run.labels).mean() > 0.9


def test_floats_between_0_and_1_meet_pictures_as_such(digits, tmp_path):
    images = (digits.images / 255).astype(np.float32)
    run = selfsort.fit("kmeans", images, tmp_path / "run", params={"n_clusters": 10})
    assert run.run["samples"] == {"from": "array", "shape": [1, 8, 8], "dtype": "float32", "range": [0.0, 1.0]}
    assert np.array_equal(selfsort.predict(tmp_path / "run", images).labels, run.labels)
    assert np.array_equal(selfsort.predict(tmp_path / "run", "digits").labels, run.labels)


def test_pictures_for_a_model_of_vectors_are_refused(tmp_path, library, digits):
    selfsort.fit("kmeans", blobs(), tmp_path / "a", params={"n_clusters": 3})
    with pytest.raises(DataError, match="fitted on vectors of 5 numbers"):
        selfsort.predict(tmp_path / "a", library.root)
    with pytest.raises(DataError, match="4 features"):
        selfsort.predict(tmp_path / "a", blobs(d=4))
    selfsort.fit("kmeans", digits.images * 2.0, tmp_path / "b", params={"n_clusters": 3})
    with pytest.raises(DataError, match="numbers from 0 to 510"):
        selfsort.predict(tmp_path / "b", library.root)
    with pytest.raises(DataError, match="fitted on images of shape"):
        selfsort.predict(tmp_path / "b", np.zeros((2, 3, 8, 8)))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 6), None),
        ((4, 5, 6), (4, 5, 6)),
        ((4, 1, 5, 6), (4, 5, 6)),
        ((4, 2, 5, 6), (4, 5, 6)),
        ((4, 3, 5, 6), (4, 5, 6, 3)),
        ((4, 5, 6, 3), (4, 5, 6, 3)),
        ((4, 1, 1, 1), (4, 1, 1)),
    ],
)
def test_what_can_be_shown_as_pictures(shape, expected):
    X = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for values in (X, X.astype(np.uint8), np.full_like(X, np.nan), np.zeros_like(X)):
        found = as_pictures(values)
        assert (found is None) == (expected is None)
        assert found is None or (found.shape, found.dtype) == (expected, np.uint8)
