"""What a fit is given: the unusual, the impossible, and runs that are damaged."""

# ruff: noqa: F811 (fixtures are imported)

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

import selfsort
from conftest import snapshot
from fits import METHODS, blobs, dec, digits  # noqa: F401
from selfsort import DataError, ModelError
from selfsort.errors import CollapseWarning

pytest.importorskip("torch")

# --- what is special


@pytest.mark.parametrize("method", METHODS)
def test_a_handful_of_pictures_of_one_pixel(method):
    images = np.array([0, 10, 240, 250], np.uint8).reshape(4, 1, 1, 1)
    params = METHODS[method] | {"n_clusters": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        clusters = selfsort.fit(method, images, params=params)
    assert len(clusters.labels) == 4
    assert clusters.thumbnails[0].startswith(b"\xff\xd8")


@pytest.mark.parametrize("method", METHODS)
def test_one_picture_and_one_cluster(method, digits):
    clusters = selfsort.fit(method, digits.images[:1], params=METHODS[method] | {"n_clusters": 1})
    assert clusters.labels.tolist() == [0]
    assert clusters.neighbors.shape == (1, 0)
    clusters = selfsort.fit(method, digits.images[:50], params=METHODS[method] | {"n_clusters": 1})
    assert clusters.run["n_groups"] == 1
    assert len(clusters.groups[0]["prototypes"]) == 12


@pytest.mark.parametrize("method", METHODS)
def test_pictures_that_are_all_the_same(method, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = selfsort.fit(
            method, np.full((40, 1, 8, 8), 7, np.uint8), tmp_path / "run", params=METHODS[method] | {"n_clusters": 3}
        )
    assert np.isfinite(run.map).all()
    assert np.isfinite(np.asarray(run.embedding, np.float32)).all()
    messages = [str(warning.message) for warning in caught if issubclass(warning.category, CollapseWarning)]
    assert messages == [warning for warning in run.run["warnings"] if "collapsed" in warning]
    assert "NaN" not in (tmp_path / "run" / "groups.json").read_text()


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e7])
def test_an_embedding_of_any_size_fits_float16(factor, tmp_path):
    clusters = selfsort.fit("kmeans", blobs() * factor, tmp_path / "run", params={"n_clusters": 3})
    stored = np.asarray(clusters.embedding, np.float64) * clusters.run.get("embedding_scale", 1)
    np.testing.assert_allclose(stored, blobs() * factor, rtol=2e-3, atol=1e-3 * factor)
    assert ("embedding_scale" in clusters.run) == (factor != 1)
    assert len(set(clusters.labels)) == 3


def test_prototypes_are_the_members_nearest_to_the_mean():
    X = np.random.default_rng(0).normal(size=(300, 6)) + 50
    clusters = selfsort.fit("kmeans", X, params={"n_clusters": 3})
    for group in clusters.groups:
        members = np.flatnonzero(clusters.labels == group["group"])
        distance = np.linalg.norm(X[members] - X[members].mean(0), axis=1)
        assert set(group["prototypes"][:6]) <= set(members[np.argsort(distance)][:9])


# --- input that cannot work leaves nothing


@pytest.mark.parametrize(
    ("method", "data", "options", "message"),
    [
        ("deep", "digits", {}, "no method 'deep'. Choose one of: graph, kmeans"),
        (
            "dec",
            "digits",
            {"params": {"n_cluster": 3}},
            "dec has no parameter 'n_cluster'. Did you mean n_clusters. It has: n_clusters, init",
        ),
        ("dec", "digits", {"params": {"n_epochs": 0}}, "'n_epochs' parameter of DEC must be an int"),
        ("dec", "digits", {"params": {"device": "cuda:99"}}, "'cuda:99' is not available here"),
        ("dec", "digits", {"params": {"device": "abacus"}}, "no device 'abacus'"),
        ("dec", "digits", {"params": {"random_state": 3}}, "Pass seed instead"),
        ("dec", "digits", {"seed": -1}, "from 0 to 4294967295: got -1"),
        ("dec", "digits", {"seed": 0.5}, "whole number: got 0.5"),
        ("dec", "digits", {"pixels": "large"}, "whole number: got 'large'"),
        ("dec", "digits", {"pixels": 0}, "from 1 to 4096 pixels: got 0"),
        ("dec", "digits", {"split": "test"}, "no splits in digits"),
        ("dec", "digitz", {}, "'digitz' is neither a data set"),
        ("dec", "digits", {"labels": "nowhere.csv"}, "nowhere.csv cannot be read"),
        ("dec", "digits", {"labels": np.arange(7)}, r"shape \(1797,\): got int64 of \(7,\)"),
        ("kmeans", np.zeros((5, 4)), {"params": {"n_clusters": 6}}, "n_samples=5 and n_clusters=6"),
        ("dec", np.zeros((5, 1, 8, 8), np.uint8), {"params": {"n_clusters": 6}}, "n_samples=5 and n_clusters=6"),
        ("dec", np.full((20, 4), np.nan), {}, "NaN"),
        ("dec", np.full((20, 1, 8, 8), np.nan), {}, "NaN"),
        ("dec", np.zeros((20, 5, 8, 8), np.uint8), {}, "1 or 3 channels"),
        ("dec", np.zeros((20, 8, 8, 3)), {}, r"X.transpose\(0, 3, 1, 2\)"),
        ("dec", np.zeros((20, 4)), {"params": {"network": "conv"}}, "needs images"),
        ("dec", np.zeros((20, 4)), {"pixels": 8}, "Only uint8 pictures can be resized"),
    ],
)
def test_what_cannot_work_is_said_before_work_starts(method, data, options, message, tmp_path):
    with pytest.raises(DataError, match=message):
        selfsort.fit(method, data, tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pixels", [None, 16])
def test_own_pictures_that_cannot_be_read(tmp_path, pixels):
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(DataError, match="no files"):
        selfsort.fit("kmeans", folder, tmp_path / "run", pixels=pixels)
    (folder / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"None of 1 files is a readable picture, such as a.png \(empty file\)"):
        selfsort.fit("kmeans", folder, tmp_path / "run", pixels=pixels)
    with pytest.raises(DataError, match="no splits in own pictures"):
        selfsort.fit("kmeans", folder, tmp_path / "run", pixels=pixels, split="test")
    assert list(tmp_path.iterdir()) == [folder]


def test_own_gray_pictures_have_one_channel_and_color_is_made_gray_for_their_model(tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in (("gray", (9, 9)), ("color", (9, 9, 3))):
        (tmp_path / name).mkdir()
        for i in range(8):
            Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    run = selfsort.fit("kmeans", tmp_path / "gray", tmp_path / "run", params={"n_clusters": 2}, pixels=8)
    assert run.run["samples"]["shape"] == [1, 8, 8]
    assert run.labels.tolist() == selfsort.predict(run.path, tmp_path / "gray").labels.tolist()
    assert selfsort.predict(run.path, tmp_path / "color").status == ["ok"] * 8


def test_a_fit_goes_on_from_an_encoder_of_gray_or_of_colored_pictures(tmp_path):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for name, shape in (("gray", (9, 9)), ("color", (9, 9, 3))):
        (tmp_path / name).mkdir()
        for i in range(30):
            Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    few = {"n_clusters": 2, "n_epochs": 1}
    for first, other, channels in (("gray", "color", 1), ("color", "gray", 3)):
        pretext = tmp_path / f"{first} features"
        selfsort.fit("simclr", tmp_path / first, pretext, pixels=8, params=few | {"width": 2})
        params = few | {"label_epochs": 0, "pretext": pretext}
        run = selfsort.fit("scan", tmp_path / other, tmp_path / f"{other} run", pixels=8, params=params)
        assert run.run["samples"]["shape"] == [channels, 8, 8]
        assert selfsort.predict(run.path, tmp_path / first).status == ["ok"] * 30
    with pytest.raises(DataError, match="pretext"):
        selfsort.fit("scan", tmp_path / "gray", pixels=8, params={"pretext": 3})


def test_labels_that_belong_to_other_pictures_are_noticed_before_training(library, tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\nelsewhere.png,cat\n")
    seen = []
    with pytest.raises(DataError, match="No label in"):
        selfsort.fit(
            "dec",
            library.root,
            tmp_path / "run",
            labels=tmp_path / "labels.csv",
            progress=lambda *call: seen.append(call[0]),
        )
    assert set(seen) == {"find", "embed"}


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("years of work")
    with pytest.raises(DataError, match=r"'thesis.doc'.*not replaced"):
        selfsort.fit("kmeans", "digits", tmp_path / "mine")
    with pytest.raises(DataError, match="is a file"):
        selfsort.fit("kmeans", "digits", tmp_path / "mine" / "thesis.doc")
    assert snapshot(tmp_path).keys() == {"mine/thesis.doc"}


# --- a run that is damaged, foreign or newer


@pytest.mark.parametrize(
    ("file", "content", "error", "message"),
    [
        ("run.json", '{"schema": 99, "level": 0}', DataError, "run format 99"),
        ("config.json", '{"schema": 99}', ModelError, "model of format 99"),
        ("config.json", "{", ModelError, "damaged"),
        ("config.json", None, ModelError, "config.json is missing"),
        ("model.safetensors", "", ModelError, "damaged"),
        ("model.safetensors", None, ModelError, "model.safetensors is missing"),
        ("items.parquet", "", DataError, "damaged"),
    ],
)
def test_a_run_that_cannot_be_used_is_named(dec, tmp_path, file, content, error, message):
    run = tmp_path / "run"
    shutil.copytree(dec.path, run)
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_text(content)
    with pytest.raises(error, match=message):
        selfsort.predict(run, "digits")


def test_the_model_can_be_loaded_by_itself(dec, digits):
    model = selfsort.load_model(dec.path)
    assert type(model).__name__ == "DEC"
    assert (model.device_, model.precision_) == (dec.run["device"], dec.run["precision"])
    assert np.array_equal(np.array(dec.run["clusters"])[dec.labels], model.predict(digits.images))
    assert (dec.path / "model.safetensors").stat().st_mode & 0o777 == (dec.path / "run.json").stat().st_mode & 0o777
