"""Known data sets: found on the machine, read and verified; small files stand for the real ones."""

import gzip
import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from dataset_files import assert_is, cifar_10_files, idx, idx_files, isolate, random, write, write_tar
from selfsort.datasets import DATASETS, as_published, load_dataset, places
from selfsort.datasets.catalog import SPECS
from selfsort.errors import DataError


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    return isolate(tmp_path, monkeypatch)


@pytest.fixture
def real_places(root, monkeypatch):
    monkeypatch.undo()


def test_digits_are_those_of_scikit_learn_over_the_whole_range():
    loaded = load_dataset("Digits", "all")
    images, labels = load_digits(return_X_y=True)
    assert_is(loaded, np.rint(images * 255 / 16).reshape(-1, 1, 8, 8), labels)
    assert loaded.images.max() == 255
    assert (loaded.name, loaded.split, loaded.classes, loaded.note) == ("digits", "all", tuple("0123456789"), "")
    with pytest.raises(DataError, match="no splits in digits: got split='train'"):
        load_dataset("digits", "train")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "mnist"),
        ("MNIST", "MNIST/raw"),
        ("fashion-mnist", "Fashion_MNIST"),
        ("Fashion_MNIST", "fashion-mnist"),
        ("fashionmnist", "FashionMNIST/raw"),
    ],
)
def test_idx_sets_in_a_folder_of_their_name(root, name, folder, packed):
    files, (images, labels) = idx_files()
    write(root / folder, files, packed=packed)
    loaded = load_dataset(name)
    assert_is(loaded, images, labels)
    assert (loaded.split, loaded.note, loaded.paths) == ("all", "", None)
    assert_is(load_dataset(name, "train"), images[:6], labels[:6])
    assert_is(load_dataset(name, "test"), images[6:], labels[6:])
    assert loaded.name in ("mnist", "fashion-mnist")
    assert loaded.classes[0] == ("0" if loaded.name == "mnist" else "T-shirt/top")


def test_idx_files_outside_a_folder_of_the_name_are_not_taken(root):
    write(root, idx_files()[0])  # MNIST or Fashion-MNIST?
    with pytest.raises(DataError, match="was not found"):
        load_dataset("mnist")


def test_places_are_searched_in_order(root, tmp_path):
    contents = []
    for seed, folder in enumerate((tmp_path / "system/mnist", tmp_path / "cache/datasets/mnist", root / "mnist")):
        files, (images, _) = idx_files(seed)
        write(folder, files, packed=True)
        contents.append(images)
        np.testing.assert_array_equal(load_dataset("mnist").images, images)
    assert not np.array_equal(contents[0], contents[1])


def test_no_cache_is_needed_where_the_data_is_there(root, tmp_path, monkeypatch):
    write(root / "mnist", idx_files()[0])
    (tmp_path / "file").touch()
    monkeypatch.setenv("SELFSORT_CACHE", str(tmp_path / "file"))
    assert len(load_dataset("mnist").images) == 10


@pytest.mark.parametrize("name", ["cifar-10", "CIFAR10", "cifar_10"])
@pytest.mark.parametrize("where", ["cifar-10-batches-bin", "cifar10", "CIFAR-10/cifar-10-batches-bin"])
def test_cifar_10_unpacked(root, name, where):
    files, content = cifar_10_files()
    write(root / where, files)
    loaded = load_dataset(name)
    assert_is(loaded, *content)
    assert loaded.classes[1] == "automobile"


@pytest.mark.parametrize("where", ["", "cifar-10", "cifar10"])
def test_cifar_10_in_its_archive(root, where):
    files, (images, labels) = cifar_10_files()
    backwards = dict(reversed(files.items()))  # the order in the archive does not matter
    write_tar(root / where / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", backwards)
    assert_is(load_dataset("cifar-10"), images, labels)
    assert_is(load_dataset("cifar-10", "test"), images[10:], labels[10:])


def test_cifar_100_has_two_kinds_of_labels(root):
    images, coarse, fine = random(10, 3, 32, 32), random(10, high=20), random(10, high=100, seed=1)
    records = np.hstack([coarse[:, None], fine[:, None], images.reshape(10, -1)])
    files = {"train.bin": records[:6].tobytes(), "test.bin": records[6:].tobytes()}
    write_tar(root / "cifar-100-binary.tar.gz", "cifar-100-binary", files)
    assert_is(load_dataset("cifar-100"), images, fine)
    assert_is(load_dataset("cifar20", "test"), images[6:], coarse[6:])
    assert load_dataset("cifar20").classes[3] == "food_containers"
    assert load_dataset("cifar100").classes[-1] == "worm"


def stl_files():
    images, labels = random(15, 3, 96, 96), random(10, high=10)
    columns = images.transpose(0, 1, 3, 2)
    return {
        "train_X.bin": columns[:6].tobytes(),
        "train_y.bin": (labels[:6] + 1).tobytes(),
        "test_X.bin": columns[6:10].tobytes(),
        "test_y.bin": (labels[6:] + 1).tobytes(),
        "unlabeled_X.bin": columns[10:].tobytes(),
    }, (images, labels)


@pytest.mark.parametrize("packed", [True, False])
def test_stl_10(root, packed):
    files, (images, labels) = stl_files()
    if packed:
        write_tar(root / "stl10_binary.tar.gz", "stl10_binary", files)
    else:
        write(root / "stl10" / "stl10_binary", files)
    assert_is(load_dataset("stl10"), images[:10], labels)
    assert_is(load_dataset("STL-10", "train"), images[:6], labels[:6])
    unlabeled = load_dataset("stl-10", "unlabeled")
    np.testing.assert_array_equal(unlabeled.images, images[10:])
    assert (unlabeled.labels, unlabeled.classes, unlabeled.split) == (None, (), "unlabeled")


def jpeg(image, quality=75, kind="JPEG", **options):
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, quality=quality, **options)
    return out.getvalue()


def write_jpegs(folder, change=None, **options):
    """Write CIFAR-10 as JPEGs; return their pixels. `change` may spoil the arrays."""
    folder.mkdir(exist_ok=True)
    decoded = []
    for split, n in (("train", 10), ("test", 4)):
        files = [jpeg(image, **options) for image in random(n, 32, 32, 3, seed=n)]
        decoded += [np.asarray(Image.open(io.BytesIO(file))).transpose(2, 0, 1) for file in files]
        arrays = {
            "data": np.frombuffer(b"".join(files), np.uint8),
            "offsets": np.cumsum([0, *map(len, files)]),
            "labels": np.arange(n, dtype=np.uint8) % 10,
        }
        if change:
            change(arrays)
        np.savez(folder / f"cifar10_{split}_jpeg.npz", **arrays)
    return np.stack(decoded)


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"subsampling": "4:2:0"}, "CIFAR-10 re-encoded as JPEG, quality 75, 4:2:0"),
        ({"subsampling": "4:4:4", "quality": 90}, "CIFAR-10 re-encoded as JPEG, quality 90, 4:4:4"),
    ],
)
def test_cifar_10_as_jpegs_says_so(root, options, note):
    images = write_jpegs(root / "cifar10", **options)
    loaded = load_dataset("cifar-10")
    assert not as_published("cifar-10")
    assert_is(loaded, images, [*range(10), *range(4)])
    assert loaded.note == note
    files, content = cifar_10_files()
    write_tar(root / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", files)
    assert_is(load_dataset("cifar-10"), *content)  # the published form is better
    assert load_dataset("cifar-10").note == ""
    assert as_published("cifar-10")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(labels=a["labels"] + 10), "labels other than those of 10 classes"),
        (lambda a: a.update(labels=a["labels"][1:]), "do not fit together or are not of 10 pictures"),
        (lambda a: a.update(offsets=a["offsets"] + 1), "do not fit together"),
        (lambda a: a["offsets"].put(0, 1), "do not fit together"),
        (lambda a: a["offsets"].put(3, a["offsets"][2]), "do not fit together"),
        (lambda a: a.update(data=a["data"] // 2), "picture 0: not an image"),
        (lambda a: a.update(data=a["data"].astype(object)), "allow_pickle"),
        (lambda a: a.pop("offsets"), "offsets"),
    ],
)
def test_damaged_jpegs(root, change, message):
    write_jpegs(root / "cifar10", change)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("cifar-10", "train")
    assert "cifar10_train_jpeg.npz is damaged" in str(caught.value)


def test_other_pictures_in_place_of_jpegs(root):
    write_jpegs(root / "cifar10", kind="PNG")
    with pytest.raises(DataError, match=r"is damaged .* is a PNG of 32×32 pixels"):
        load_dataset("cifar-10")
    for file in (root / "cifar10").iterdir():
        file.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"cifar10_train_jpeg.npz is damaged .* not a zip"):
        load_dataset("cifar-10")


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "change", "packed", "message"),
    [
        (IMAGES, lambda b: b[:-1], False, "ends after 4,703 of 4,704 bytes"),
        (IMAGES, lambda b: b + b"x", False, "more than 4,704 bytes"),
        (IMAGES, lambda b: b"", False, "its header is empty"),
        (IMAGES, lambda b: b"\0\0\x0b" + b[3:], False, "its header is 00000b03"),
        (IMAGES, lambda b: idx(random(5, 28, 28)), False, "for 6 pictures of 28×28"),
        (IMAGES, lambda b: idx(random(6, 32, 32)), False, "for 6 pictures of 28×28"),
        (LABELS, lambda b: idx(random(5, high=10)), True, "for 6 labels"),
        (LABELS, lambda b: b[:-1] + b"\x0a", True, "labels other than those of 10 classes"),
        (f"{IMAGES}.gz", lambda b: gzip.compress(b)[:-20], False, "end-of-stream"),
        (f"{IMAGES}.gz", lambda b: b"<html>", False, "Not a gzipped file"),
        (f"{IMAGES}.gz", lambda b: gzip.compress(b)[:99] + bytes(99) + gzip.compress(b)[198:], False, "CRC"),
        (f"{IMAGES}.gz", lambda b: gzip.compress(b)[:10] + b"\xff" * 99, False, "invalid block type"),
    ],
)
def test_damaged_idx_files_are_named(root, name, change, packed, message):
    files, _ = idx_files()
    write(root / "mnist", {key: value for key, value in files.items() if f"{key}.gz" != name})
    if packed:
        (root / "mnist" / name).unlink()
    write(root / "mnist", {name: change(files[name.removesuffix(".gz")])}, packed=packed)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("mnist")
    assert f"{root}/mnist/{name}" in str(caught.value)
    assert "Remove it, then copy or download it again." in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update({"test_batch.bin": f["test_batch.bin"][:-3073]}), "test_batch.bin is .* 9,219 of 12,292"),
        (lambda f: f.update({"test_batch.bin": b"\x0a" + f["test_batch.bin"][1:]}), "labels other than"),
        (lambda f: f.pop("data_batch_4.bin"), "there is no data_batch_4.bin in it"),
    ],
)
def test_a_damaged_archive_is_named(root, change, message):
    files, _ = cifar_10_files()
    change(files)
    write_tar(root / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", files)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("cifar-10")
    assert f"{root}/cifar-10-binary.tar.gz" in str(caught.value)


@pytest.mark.parametrize("content", [b"<html>", gzip.compress(b"text" * 500), b""], ids=["page", "gzip", "nothing"])
def test_what_is_no_archive_is_named(root, content):
    (root / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is damaged or another file"):
        load_dataset("cifar-10")


def test_a_cut_archive_is_named(root):
    whole = write_tar(root / "stl10_binary.tar.gz", "stl10_binary", stl_files()[0])
    whole.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"stl10_binary\.tar\.gz.* is damaged .*end"):
        load_dataset("stl-10", "test")


def test_an_archive_is_read_no_further_than_needed(root):
    files, (images, labels) = stl_files()
    whole = write_tar(root / "stl10_binary.tar.gz", "stl10_binary", files)
    whole.write_bytes(whole.read_bytes()[:250_000])
    assert_is(load_dataset("stl-10", "train"), images[:6], labels[:6])


def test_a_file_that_cannot_be_read_is_not_called_damaged(root):
    if not Path("/proc/self/mem").is_file():
        pytest.skip("there is no file here that fails when it is read")
    write(root / "mnist", idx_files()[0])
    (root / "mnist" / IMAGES).unlink()
    (root / "mnist" / IMAGES).symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=f"{IMAGES} cannot be read: input/output error. Check its permissions"):
        load_dataset("mnist")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("loaded",)


@pytest.mark.parametrize("unpacked", [True, False])
def test_pickles_are_never_loaded(root, tmp_path, monkeypatch, unpacked):
    monkeypatch.chdir(tmp_path)
    files = {f"data_batch_{i}": pickle.dumps(Bomb()) for i in range(1, 6)} | {"test_batch": pickle.dumps(Bomb())}
    if unpacked:
        write(root / "cifar-10-batches-py", files)
    else:
        write_tar(root / "cifar-10-python.tar.gz", "cifar-10-batches-py", files)
    with pytest.raises(
        DataError, match=r"cifar-10-(python|batches-py).* the binary version is needed. Put cifar-10-bi"
    ):
        load_dataset("cifar-10")
    assert not Path("loaded").exists()


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("mnist", "val", "MNIST has the splits train, test, all: got 'val'"),
        ("mnist", "unlabeled", "MNIST has the splits train, test, all"),
        ("stl10", "validation", "STL-10 has the splits train, test, unlabeled, all"),
    ],
)
def test_splits_that_are_not(name, split, message):
    with pytest.raises(DataError, match=message):
        load_dataset(name, split)


def test_a_size_scales_the_pictures(root):
    files, (images, labels) = idx_files()
    write(root / "mnist", files)
    stages = []
    loaded = load_dataset("mnist", size=np.int64(16), progress=lambda *report: stages.append(report))
    scaled = [np.asarray(Image.fromarray(image[0]).resize((16, 16), Image.Resampling.BICUBIC)) for image in images]
    assert_is(loaded, np.stack(scaled)[:, None], labels)
    assert stages[-1] == ("resize", 10, 10)
    assert_is(load_dataset("mnist", size=28), images, labels)
    assert load_dataset("digits", size=12).images.shape == (1797, 1, 12, 12)


@pytest.mark.parametrize("size", [0, 4097, 2.5, True, "64"])
def test_sizes_that_are_not(size):
    with pytest.raises(DataError, match="size must be"):
        load_dataset("digits", size=size)


def test_the_catalog(real_places):
    assert list(DATASETS) == ["digits", "mnist", "fashion-mnist", "cifar-10", "cifar-20", "cifar-100", "stl-10"]
    n_classes = {name: len(set(spec.classes)) for name, spec in SPECS.items()}
    assert n_classes == {**dict.fromkeys(SPECS, 10), "cifar-20": 20, "cifar-100": 100}
    for spec in SPECS.values():
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in spec.mirrors)
        assert all(len(bytes.fromhex(md5)) == 16 for md5 in spec.md5.values())
        files = {file for part in spec.parts("all") for file in (part.images, part.labels)}
        assert set(spec.md5) == ({spec.archive} if spec.archive else {f"{file}.gz" for file in files})
        sizes = {split: sum(part.n for part in spec.parts(split)) for split in spec.choices}
        assert sizes["all"] == sizes["train"] + sizes["test"] == (13_000 if spec.title == "STL-10" else sizes["all"])


def test_real_mnist(real_places, data):
    if not (data / "mnist").is_dir():
        pytest.skip("SELFSORT_DATA has no mnist")
    loaded = load_dataset("mnist")
    assert (loaded.images.shape, loaded.note) == ((70_000, 1, 28, 28), "")
    test = load_dataset("mnist", "test")
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(test.images, loaded.images[60_000:])
    digests = [hashlib.md5(idx(loaded.images[rows, 0])).hexdigest() for rows in (slice(60_000), slice(60_000, None))]
    assert digests == ["6bbc9ace898e44ae57da46a324031adb", "2646ac647ad5339dbf082846283269ea"]


def test_real_cifar_10_as_jpegs(real_places, data):
    if not (data / "cifar10" / "cifar10_test_jpeg.npz").is_file():
        pytest.skip("SELFSORT_DATA has no CIFAR-10 as JPEGs")
    loaded = load_dataset("cifar10", "test")
    assert loaded.images.shape == (10_000, 3, 32, 32)
    assert np.bincount(loaded.labels).tolist() == [1000] * 10
    assert loaded.note == "CIFAR-10 re-encoded as JPEG, quality 75, 4:2:0"
    np.testing.assert_allclose(loaded.images.mean((0, 2, 3)), [126.0, 123.7, 114.8], atol=1)


def test_real_fashion_mnist(real_places, monkeypatch):
    if not (places.SYSTEM / "fashion-mnist").is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    monkeypatch.delenv("SELFSORT_DATA", raising=False)
    loaded = load_dataset("fashion-mnist", "test")
    assert loaded.images.shape == (10_000, 1, 28, 28)
    assert np.bincount(loaded.labels).tolist() == [1000] * 10
