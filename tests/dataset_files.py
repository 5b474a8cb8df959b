"""Small files in the forms of the known data sets, and a machine that has none of the real ones."""

import dataclasses
import gzip
import io
import struct
import tarfile

import numpy as np

from selfsort.datasets import places
from selfsort.datasets.catalog import SPECS, Part

SIZES = {"train": 6, "test": 4, "unlabeled": 5}
NO_SERVER = "http://127.0.0.1:9/"


def isolate(tmp_path, monkeypatch):
    """Give a test folders of its own instead of the machine's, and sets of a few pictures; return SELFSORT_DATA."""
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("SELFSORT_DATA", str(root))
    monkeypatch.setenv("SELFSORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "system")
    for name, spec in SPECS.items():
        splits = {
            split: tuple(Part(p.images, p.labels, 2 if len(parts) > 1 else SIZES[split]) for p in parts)
            for split, parts in spec.splits.items()
        }
        monkeypatch.setitem(SPECS, name, dataclasses.replace(spec, splits=splits, mirrors=(NO_SERVER,)))
    return root


def random(*shape, seed=0, high=256):
    return np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_files(seed=0):
    """Return the four files of MNIST by name, and what is in them."""
    images, labels = random(10, 28, 28, seed=seed), random(10, seed=seed, high=10)
    return {
        "train-images-idx3-ubyte": idx(images[:6]),
        "train-labels-idx1-ubyte": idx(labels[:6]),
        "t10k-images-idx3-ubyte": idx(images[6:]),
        "t10k-labels-idx1-ubyte": idx(labels[6:]),
    }, (images[:, None], labels)


def cifar_10_files():
    """Return files of CIFAR-10 with 5 × 2 pictures for training and 4 for the test, and what is in them."""
    images, labels = random(14, 3, 32, 32), random(14, high=10)
    records = np.hstack([labels[:, None], images.reshape(14, -1)])
    files = {f"data_batch_{i + 1}.bin": records[2 * i : 2 * i + 2].tobytes() for i in range(5)}
    return files | {"test_batch.bin": records[10:].tobytes(), "batches.meta.txt": b"airplane\n"}, (images, labels)


def write(folder, files, *, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content, 1) if packed else content)
    return folder


def write_tar(path, folder, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def assert_is(loaded, images, labels):
    assert loaded.images.dtype == np.uint8
    assert loaded.labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.images, images)
    np.testing.assert_array_equal(loaded.labels, labels)
