"""Files that are kept between runs, after a disk or a transfer has changed them: noticed, or of no consequence."""

import random
import shutil
import sqlite3
import warnings

import numpy as np
import pytest

import damage
import selfsort
from selfsort.errors import DataError, ModelError
from selfsort.features.cache import Cache
from selfsort.features.encoders import default_onnx, load_encoder
from selfsort.features.extract import extract
from selfsort.files import read_sealed, read_sums, write_sealed, write_sums
from selfsort.methods.saving import load_model, save_model
from selfsort.sources import open_source


def copies(path, n, seed=0):
    """Yield after putting each of `n` damaged copies in the place of a file, and put the file back at the end."""
    whole, rng = path.read_bytes(), random.Random(seed)
    for _ in range(n):
        content = damage.damaged(whole, rng)
        path.write_bytes(content)
        yield content == whole
    path.write_bytes(whole)


def test_a_sealed_file_gives_what_was_written_or_nothing(tmp_path):
    path = tmp_path / "stage.pt"
    write_sealed(path, bytes(range(256)) * 4)
    for same in copies(path, 300):
        if not same:
            with pytest.raises(ValueError, match=r"stage\.pt is not as it was written"):
                read_sealed(path)
    assert read_sealed(path) == bytes(range(256)) * 4
    other = path.rename(tmp_path / "other.pt")  # what belongs to another stage
    with pytest.raises(ValueError, match="not as it was written"):
        read_sealed(other)


def test_sums_name_no_file_outside(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    write_sums(tmp_path, ["a"])
    line = (tmp_path / "SHA256SUMS").read_text()
    assert line.startswith("ba7816bf8f01cfea")
    for name in ("../a", "/etc/passwd", "b/../../a", "", "a\n"):
        (tmp_path / "SHA256SUMS").write_text(line.replace("a\n", f"{name}\n"))
        if name == "a\n":
            continue
        with pytest.raises(ValueError, match="none of it"):
            read_sums(tmp_path)


@pytest.mark.parametrize("n", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_no_damaged_checkpoint_is_loaded(tmp_path, n):
    torch = pytest.importorskip("torch")
    from selfsort.training.checkpoint import load_checkpoint, save_checkpoint

    path, state = tmp_path / "pretrain.pt", {"weights": torch.arange(4000.0), "epoch": 3}
    save_checkpoint(path, state, "abc")
    for same in copies(path, n):
        if not same:
            with pytest.raises(DataError, match="is damaged"):
                load_checkpoint(path, "abc", torch.device("cpu"))
    assert torch.equal(load_checkpoint(path, "abc", torch.device("cpu"))["weights"], state["weights"])


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "SHA256SUMS"])
@pytest.mark.parametrize("n", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_no_damaged_model_is_loaded(tmp_path, name, n):
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    model = selfsort.KMeans(3, random_state=0).fit(X)
    save_model(model, tmp_path)
    n_said = 0
    for same in copies(tmp_path / name, n):
        try:
            assert np.array_equal(load_model(tmp_path).predict(X), model.labels_)
            assert same or name == "SHA256SUMS"  # whose last line end tells nothing
        except ModelError as error:
            n_said += "is damaged" in str(error)
    assert n_said > n * 0.8
    assert np.array_equal(load_model(tmp_path).predict(X), model.labels_)


def test_a_damaged_encoder_is_built_again(fresh_cache):
    path = default_onnx()
    whole = path.read_bytes()
    for content in (whole[:-4] + b"\0\1\2\3", whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="was damaged, so it was built again"):
            assert default_onnx() == path
        assert path.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        default_onnx()
        path.with_name(f"{path.name}.sha256").unlink()  # as a kill between the two leaves it
        default_onnx()
    assert load_encoder().key


def test_damaged_rows_of_the_cache_are_made_again(library, tmp_path):
    encoder = load_encoder()
    with Cache(tmp_path / "cache.sqlite") as cache, open_source(library.root) as source:
        expected = extract(source, encoder, cache)
    with sqlite3.connect(tmp_path / "cache.sqlite") as db:
        rows = db.execute("SELECT id, features, thumbnail FROM pictures WHERE features IS NOT NULL").fetchall()
        changed = [bytes([rows[0][1][0] ^ 1]) + rows[0][1][1:], rows[1][1][:-2], rows[2][1]]
        for (content, _, _), features in zip(rows[:3], changed, strict=True):
            db.execute("UPDATE pictures SET features = ? WHERE id = ?", (features, content))
        db.execute("UPDATE pictures SET status = 'empty file' WHERE id = ?", (rows[3][0],))
        paths = db.execute("SELECT path, id FROM files").fetchall()
        db.execute("UPDATE files SET id = ? WHERE path = ?", (paths[1][1], paths[0][0]))
    db.close()
    with Cache(tmp_path / "cache.sqlite") as cache, open_source(library.root) as source:
        found = extract(source, encoder, cache)
        assert cache.forget_damaged() == 0
    assert found.ids == expected.ids
    for content, entry in expected.entries.items():
        again = found.entries[content]
        assert (again.status, again.thumbnail) == (entry.status, entry.thumbnail)
        assert (again.features is None) == (entry.features is None)
        assert entry.features is None or np.array_equal(again.features, entry.features)


def test_a_damaged_stage_is_computed_again(library, tmp_path, monkeypatch):
    from selfsort.photos import pipeline

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "layout", killed)
        with pytest.raises(KeyboardInterrupt):
            selfsort.organize(library.root, tmp_path / "run")
    kept = sorted((tmp_path / ".run.partial").glob("*.npy"))
    assert kept
    rng = random.Random(0)
    for path in kept:
        path.write_bytes(damage.damaged(path.read_bytes(), rng))
    found = selfsort.organize(library.root, tmp_path / "run")
    expected = selfsort.organize(library.root, tmp_path / "other")
    assert np.array_equal(found.levels, expected.levels)
    assert np.array_equal(found.neighbors, expected.neighbors)


def test_check_names_what_is_wrong_with_an_export(own_run, tmp_path):
    from selfsort.photos.checking import check

    out = tmp_path / "out"
    selfsort.export(own_run, out, mode="copy")
    assert check(own_run) == ([], [str(own_run), f"{own_run}.catalog", str(out)])
    first, second, *_ = sorted(path for path in out.rglob("*.png"))
    first.write_bytes(b"changed")
    second.unlink()
    found, _ = check(own_run)
    assert {(one.part, one.path, one.what) for one in found} == {
        ("export", str(first), "it was changed since"),
        ("export", str(second), "it is not there any more"),
    }
    shutil.copytree(out, elsewhere := tmp_path / "a" / "b")
    assert len(check(own_run, [elsewhere])[0]) == 4
    with pytest.raises(DataError, match="nothing was exported there"):
        check(own_run, [tmp_path])
