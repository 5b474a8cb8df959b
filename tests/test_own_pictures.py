"""Own pictures and arrays as data sets."""

import contextlib
import io
import shutil
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_files import isolate, random
from selfsort.datasets import Pictures, load_dataset, pictures
from selfsort.errors import DataError
from selfsort.images import decode
from selfsort.pixels import Preprocessing
from selfsort.sources import open_source
from selfsort.sources.archives import TarSource
from source_files import write_tar, write_zip


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    return isolate(tmp_path, monkeypatch)


@pytest.fixture
def nothing_kept(monkeypatch):
    monkeypatch.setattr(pictures, "KEEP_BYTES", 0)


def decoded(root, path, size):
    return decode((root / path).read_bytes(), Preprocessing(size)).pixels.transpose(2, 0, 1)


def png(value=0, shape=(8, 6)):
    out = io.BytesIO()
    Image.new("RGB", shape, (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def test_a_folder(library):
    with pytest.warns(UserWarning, match=r"4 of 63 files are left out, such as cut.jpg \(.*\); paths names") as caught:
        loaded = load_dataset(library.root)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert isinstance(loaded.images, np.ndarray)
    assert (loaded.images.shape, loaded.images.dtype) == ((59, 3, 64, 64), np.uint8)
    assert (loaded.name, loaded.split, loaded.labels, loaded.classes) == ("pictures", "all", None, ())
    assert loaded.paths == sorted(library.kinds)
    for row in (0, 4, 30, 58):  # broken files lie between them
        np.testing.assert_array_equal(loaded.images[row], decoded(library.root, loaded.paths[row], 64))


def test_pictures_read_like_the_array(library, monkeypatch):
    with pytest.warns(UserWarning, match="4 of 63"):
        kept = load_dataset(library.root, size=24).images
    monkeypatch.setattr(pictures, "KEEP_BYTES", kept.nbytes - 1)
    with pytest.warns(UserWarning, match="4 of 63"):
        loaded = load_dataset(library.root, size=24)
    images = loaded.images
    assert isinstance(images, Pictures)
    assert (images.shape, images.dtype, len(images), len(loaded.paths)) == ((59, 3, 24, 24), np.uint8, 59, 59)
    for rows in (
        slice(None),
        slice(50, 3, -7),
        np.array([5, 5, 58, 0]),
        np.array([], np.int64),
        np.arange(59) % 3 == 0,
        7,
        -1,
    ):
        np.testing.assert_array_equal(images[rows], kept[rows])
        assert images[rows].dtype == np.uint8
    with pytest.raises(IndexError):
        images[np.array([59])]
    monkeypatch.setattr(pictures, "KEEP_BYTES", kept.nbytes)  # the readable ones fit, all files would not
    with pytest.warns(UserWarning, match="4 of 63"):
        again = load_dataset(library.root, size=24).images
    assert isinstance(again, np.ndarray)
    np.testing.assert_array_equal(again, kept)


def test_pictures_can_be_read_by_many_threads(library, nothing_kept):
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = load_dataset(library.root, size=16).images
    whole = images[:]
    batches = [np.random.default_rng(i).integers(0, 59, 40) for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for rows, batch in zip(batches, pool.map(images.__getitem__, batches), strict=True):
            np.testing.assert_array_equal(batch, whole[rows])
    images.close()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.parametrize("bound", [0, 1 << 30])
def test_an_archive(tmp_path, monkeypatch, write, bound):
    monkeypatch.setattr(pictures, "KEEP_BYTES", bound)
    members = {"b.png": png(200), "a.png": png(100), "notes.txt": b"hello"}
    with pytest.warns(UserWarning, match=r"1 of 3 files are left out, such as notes.txt \(not an image \(text\)\)"):
        loaded = load_dataset(str(write(tmp_path / "my.holiday", members)), size=4)
    assert loaded.paths == ["a.png", "b.png"]
    assert loaded.name == "my"
    assert loaded.images[:][:, 0, 0, 0].tolist() == [100, 200]
    if bound == 0:
        loaded.images.close()


def test_a_cut_archive_warns_too(tmp_path):
    tar = write_tar(tmp_path / "x.tar", {f"{i}.png": png(i) for i in range(5)})
    content = tar.read_bytes()
    tar.write_bytes(content[:2300])
    with pytest.warns(UserWarning, match="is damaged or ends early") as caught:
        assert load_dataset(tar).paths == ["0.png", "1.png"]
    assert len(caught) == 1
    tar.write_bytes(content[:2600])  # the third begins, and ends early
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load_dataset(tar).paths == ["0.png", "1.png"]
    assert ["damaged" in str(warning.message) for warning in caught] == [True, False]


@pytest.mark.parametrize("content", [png(), b"no picture"], ids=["picture", "text"])
def test_no_archive_stays_open_without_need(tmp_path, monkeypatch, content):
    closed = []
    monkeypatch.setattr(TarSource, "close", lambda self: closed.append(self) or self._file.close())
    tar = write_tar(tmp_path / "x.tar", {"a": content})
    with contextlib.suppress(DataError):
        load_dataset(tar)
    assert [source.root for source in closed] == [str(tar)]


def test_files_lists_and_arrays_are_taken(library, tmp_path):
    one = load_dataset(library.root / "disks/00.png")
    assert (one.images.shape, one.paths, one.name) == ((1, 3, 64, 64), ["00.png"], "disks")
    two = load_dataset([library.root / "disks/00.png", str(library.root / "pages/01.jpg")], size=8)
    assert two.paths == ["disks/00.png", "pages/01.jpg"]
    np.testing.assert_array_equal(two.images[0], decoded(library.root, "disks/00.png", 8))
    mixed = load_dataset([random(9, 9, 3), Image.new("L", (5, 7), 50)], size=8)
    assert (mixed.images.shape, mixed.paths, mixed.name) == ((2, 3, 8, 8), None, "pictures")
    assert mixed.images[1].tolist() == np.full((3, 8, 8), 50).tolist()


def test_everything_is_looked_at_before_training(library, nothing_kept, monkeypatch):
    reports, seen = [], []
    monkeypatch.setattr(pictures, "decode", lambda data, wanted: seen.append(data) or decode(data, wanted))
    with pytest.warns(UserWarning, match="4 of 63"):
        load_dataset(library.root, size=8, progress=lambda *report: reports.append(report))
    assert len(seen) == 63
    assert reports[-1] == ("decode", 63, 63)


def test_a_picture_that_vanished_is_named(own_library, nothing_kept):
    with pytest.warns(UserWarning, match="4 of 63"):
        loaded = load_dataset(own_library.root, size=8)
    row = loaded.paths.index("noise/03.png")
    (own_library.root / "noise/03.png").unlink()
    with pytest.raises(DataError, match=r"noise/03.png was readable at first and is not any more: no such file"):
        loaded.images[np.arange(59)]
    assert loaded.images[np.array([row - 1, row + 1])].shape == (2, 3, 8, 8)


@pytest.mark.parametrize("bound", [0, 1 << 30])
def test_no_readable_picture(tmp_path, monkeypatch, bound):
    monkeypatch.setattr(pictures, "KEEP_BYTES", bound)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.jpg").write_bytes(b"text")
    (tmp_path / "pictures/b.jpg").touch()
    message = r"None of 2 files is a readable picture, such as a.jpg \(not an image \(text\)\). Pass others."
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "pictures")


def test_an_interrupted_load_ends_its_threads(library):
    def interrupt(stage, done, total):
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        load_dataset(library.root, progress=interrupt)
    assert set(threading.enumerate()) <= before


def test_a_path_is_not_a_name(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mnist").mkdir()
    shutil.copy(library.root / "disks/00.png", "mnist")
    for data in ("./mnist", Path("mnist"), "mnist/", f"{tmp_path}/mnist"):
        assert load_dataset(data).paths == ["00.png"]
    with pytest.raises(DataError, match="MNIST was not found"):
        load_dataset("mnist")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("cifar-11", "'cifar-11' is neither a data set (digits, mnist, fashion-mnist, cifar-10, "),
        (Path("cifar-10"), "There is nothing at"),
        ("x" * 5000, "cannot be read: file name too long"),
        ([], "an empty sequence was given"),
    ],
)
def test_what_is_neither_name_nor_path(data, message):
    with pytest.raises(DataError) as caught:
        load_dataset(data)
    assert message in str(caught.value)


def test_own_data_has_no_splits(library):
    with pytest.raises(DataError, match=r"no splits in own pictures: got split='train'. Leave it out"):
        load_dataset(library.root, "train")
    with pytest.raises(DataError, match="no splits in arrays: got split='test'"):
        load_dataset(random(4, 8, 8), "test")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 9), lambda a: a[:, None]),
        ((5, 1, 8, 9), lambda a: a),
        ((5, 3, 8, 9), lambda a: a),
        ((5, 8, 9, 1), lambda a: a.transpose(0, 3, 1, 2)),
        ((5, 8, 9, 3), lambda a: a.transpose(0, 3, 1, 2)),
        ((5, 3, 8, 3), lambda a: a),
        ((5, 9), lambda a: a),
    ],
)
def test_arrays_of_bytes(shape, expected):
    array = random(*shape)
    loaded = load_dataset(array, "all")
    assert (loaded.name, loaded.split, loaded.labels, loaded.paths) == ("array", "all", None, None)
    np.testing.assert_array_equal(loaded.images, expected(array))
    assert loaded.images.shape == expected(array).shape


@pytest.mark.parametrize("array", [np.eye(4), np.zeros((3, 8, 8), np.float32), np.zeros((3, 2, 8, 8, 8))])
def test_other_arrays_are_passed_on(array):
    assert load_dataset(array).images is array


def test_arrays_of_bytes_can_be_resized():
    array = random(5, 8, 10, 3)
    loaded = load_dataset(array, size=4).images
    for row in range(5):
        scaled = np.asarray(Image.fromarray(array[row]).resize((4, 4), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(loaded[row], scaled.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("array", "size", "message"),
    [
        (np.zeros(4), None, r"shape \(4,\) has no samples"),
        (np.zeros((0, 8)), None, r"shape \(0, 8\) has no samples"),
        (random(8, 8, 3), None, r"shape \(8, 8, 3\) does not hold pictures of 1 or 3 channels"),
        (random(2, 8, 8, 4), None, r"shape \(2, 8, 8, 4\) does not hold"),
        (random(2, 1, 8, 8, 8), None, "does not hold"),
        (np.zeros((2, 8, 8)), 4, "Only uint8 pictures can be resized: got float64 of shape"),
        (np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (1 << 40, 1, 1, 1)), 4096, "do not fit into memory"),
    ],
)
def test_arrays_that_do_not_fit(array, size, message):
    with pytest.raises(DataError, match=message):
        load_dataset(array, size=size)


def test_pictures_of_a_source_that_is_closed_by_its_owner(library):
    with open_source(library.root / "disks") as source:
        images = Pictures(source, 8)
    assert images[:].shape == (11, 3, 8, 8)
    assert images.problems == {}
