import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfsort.errors import DataError
from selfsort.images import from_array
from selfsort.pixels import Preprocessing
from selfsort.sources import Limits, display_path, open_source
from source_files import FILES, assert_holds_files, paths, picture, problems, unreadable, write_tar, write_zip


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_folder(folder):
    with open_source(folder) as source:
        assert_holds_files(source)
        assert (source.kind, source.root, len(source)) == ("folder", str(folder), 4)
        assert source.original(0) == folder / "a.png"
        assert source.items[0].mtime_ns == (folder / "a.png").stat().st_mtime_ns
        assert source.load(0) == FILES["a.png"]
    assert paths(open_source(str(folder))) == paths(open_source(os.fsencode(folder))) == paths(source)


def test_hidden_files_clutter_and_runs_are_left_out(folder):
    for name in (
        ".DS_Store",
        "._a.png",
        "Thumbs.db",
        ".hidden/x.png",
        "run/run.json",
        "run/items.parquet",
        "run/x.png",
        "a.png.xmp",
        "b/A.XMP",
        "selfsort-export.jsonl",
        "x.trashed.jsonl",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert paths(open_source(folder)) == sorted(FILES, key=os.fsencode)
    with pytest.raises(DataError, match="is a run of selfsort"):
        open_source(folder / "run")


STRANGE = [
    b"caf\xe9.png",
    b"new\nline.png",
    "😀.png".encode(),
    b" ",
    b"-rf",
    b'"<&>.png',
    b"n" * 250,
    b"back\\slash.png",
]


@pytest.mark.parametrize("kind", ["folder", "list", "tar", "zip"])
def test_every_file_name_works(tmp_path, kind):
    root = tmp_path / "strange"
    root.mkdir()
    names = [name for name in STRANGE if kind != "zip" or name != b"caf\xe9.png"]  # Python cannot write this one
    try:
        for i, name in enumerate(names):
            (root / os.fsdecode(name)).write_bytes(picture(i))
    except OSError:
        pytest.skip("this file system refuses such names")
    data = root
    if kind == "list":
        data = root / "list.txt"
        data.write_bytes(b"\0".join(names) + b"\0")
    elif kind == "tar":
        data = write_tar(tmp_path / "a", {os.fsdecode(name): picture(i) for i, name in enumerate(names)})
    elif kind == "zip":
        data = write_zip(tmp_path / "a", {os.fsdecode(name): picture(i) for i, name in enumerate(names)})
    with open_source(data) as source:
        assert [os.fsencode(path) for path in paths(source)] == sorted(names)
        for i, item in enumerate(source.items):
            assert source.read(i) == picture(names.index(os.fsencode(item.path)))
            display_path(item.path).encode()


def test_a_very_deep_folder(tmp_path):
    deep = tmp_path.joinpath(*["d" * 100] * 20)
    deep.mkdir(parents=True)
    (deep / "a.png").write_bytes(picture())
    source = open_source(tmp_path)
    assert len(source.items[0].path) == 20 * 101 + 5
    assert source.read(0) == picture()


def test_display_path():
    assert display_path(os.fsdecode(b"caf\xe9/\xf0\x9f\x98\x80")) == "caf\\xe9/😀"


def link(path, target):
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("no symbolic links here")


def test_links_are_followed_and_loops_end(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "far.png").write_bytes(picture(9))
    link(folder / "b" / "loop", folder)
    link(folder / "0-again", folder / "b")  # sorts before the real one, which keeps the files all the same
    link(folder / "other", other)
    link(folder / "file.png", folder / "a.png")
    link(folder / "nowhere.png", folder / "missing.png")
    link(folder / "self.png", folder / "self.png")
    source = open_source(folder)
    assert set(paths(source)) == {*FILES, "other/far.png", "file.png", "nowhere.png", "self.png"}
    assert problems(source)["nowhere.png"] == "symbolic link to nowhere"
    assert "symbolic links" in problems(source)["self.png"]
    assert unreadable(source, paths(source).index("nowhere.png")) == "symbolic link to nowhere"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_a_row_and_does_not_block(folder):
    os.mkfifo(folder / "pipe")
    source = open_source(folder)
    assert problems(source) == {"pipe": "not a regular file"}
    (folder / "a.png").unlink()
    os.mkfifo(folder / "a.png")
    assert unreadable(source, 0) == "not a regular file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_a_row(folder):
    (folder / "b").chmod(0)
    (folder / "a.png").chmod(0)
    try:
        source = open_source(folder)
        assert problems(source) == {"b": "permission denied"}
        assert unreadable(source, 0) == "permission denied"
    finally:
        (folder / "b").chmod(0o700)


def test_files_that_go_or_grow(folder):
    source = open_source(folder, limits=Limits(max_file_bytes=1000))
    (folder / "a.png").write_bytes(b"x" * 1001)
    assert unreadable(source, 0) == "larger than 1,000 bytes"
    (folder / "a.png").write_bytes(b"x" * 1000)
    assert source.read(0) == b"x" * 1000
    (folder / "a.png").unlink()
    assert unreadable(source, 0) == "no such file or directory"
    assert problems(open_source(folder, limits=Limits(max_file_bytes=10)))["b/c.png"] == "larger than 10 bytes"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\0"])
def test_list(folder, ending):
    names = ["b/c.png", "./a.png", "a.png", str(folder.parent / "gone.png"), "b"]
    listing = folder / "list.txt"
    listing.write_bytes(ending.join(["", *names, ""]).encode())
    source = open_source(listing)
    assert source.kind == "list"
    assert source.root == str(folder.parent)
    assert paths(source) == ["gone.png", "pictures/a.png", "pictures/b", "pictures/b/c.png"]
    assert problems(source) == {"gone.png": "no such file or directory", "pictures/b": "a folder"}
    assert source.read(1) == FILES["a.png"]
    assert source.original(1) == folder / "a.png"


def test_sequence_of_paths_and_single_picture(folder, monkeypatch):
    monkeypatch.chdir(folder)
    source = open_source(["b/c.png", Path("a.png")])
    assert (source.kind, source.root, paths(source)) == ("list", str(folder), ["a.png", "b/c.png"])
    source = open_source("b/c.png")
    assert (source.kind, source.root, paths(source)) == ("list", str(folder / "b"), ["c.png"])
    assert source.read(0) == FILES["b/c.png"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing", None, "There is nothing at"),
        ("a.zip", b"PK\3\4" + b"x" * 100, "damaged: it has no directory"),
        ("a.gz", gzip.compress(b"hello" * 1000, mtime=0), "is not a tar, or is damaged from its start"),
        ("a.xz", b"\xfd7zXZ\0rest", "is not a tar"),
        ("a.tar", bytes(10240), "There are no files in"),
        ("a.png", b"hello", "is not a picture, a tar, a zip or a .txt list"),
        ("a.png", b"", "is not a picture"),
        ("empty.txt", b"\n\n", "is empty. Write one path per line"),
        ("list.txt", b"x.png\ny.png\n\xff\n" + b"z" * 5000, "None of the 4 paths listed in"),
    ],
)
def test_what_cannot_be_a_source(tmp_path, name, data, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / name)


def test_empty_sources(tmp_path):
    (tmp_path / ".hidden.png").write_bytes(picture())
    for data, message in ((tmp_path, "There are no files in"), ([], "empty sequence")):
        with pytest.raises(DataError, match=message):
            open_source(data)
    with pytest.raises(DataError, match="nothing at"):
        open_source(tmp_path / ("x" * 200) / os.fsdecode(b"\xff"))
    with pytest.raises(DataError, match="cannot be read: file name too long"):
        open_source(tmp_path / ("x" * 5000))


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((3, 8, 6), np.uint8),
        np.zeros((3, 8, 6, 1), np.uint8),
        np.zeros((3, 8, 6, 3), np.float32),
        np.zeros((3, 8, 6, 4), np.uint8),
        [np.zeros((8, 6), np.uint8), np.zeros((8, 6, 3)), Image.new("P", (6, 8))],
    ],
)
def test_arrays(data):
    with open_source(data) as source:
        assert (source.kind, source.root, paths(source)) == ("array", "", ["0", "1", "2"])
        assert source.original(0) is None
        for i in range(3):
            made = from_array(source.load(i), Preprocessing(16))
            assert (made.width, made.height) == (6, 8)
        assert source.read(0) == open_source(data).read(0)


def test_arrays_of_one_size_in_bytes_differ():
    data = [np.zeros((2, 8), np.uint8), np.zeros((8, 2), np.uint8), np.zeros((4, 4), np.uint8)]
    source = open_source(data)
    assert len({source.read(i) for i in range(3)}) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((5, 784), np.uint8), "does not hold pictures"),
        (np.zeros((0, 8, 8), np.uint8), "does not hold pictures"),
        (np.zeros((5, 3, 32, 32), np.uint8), "transpose"),
        (np.zeros((32, 32, 3), np.uint8), "array\\[None\\]"),
        (np.zeros((5, 32, 32, 2), np.uint8), "does not hold pictures"),
        (np.zeros((5, 8, 8), np.int64), "has type int64"),
        (np.full((5, 8, 8), 255.0), "from 255 to 255"),
        (np.full((5, 8, 8), np.nan), "from nan to nan"),
        ([np.zeros((8, 8), np.uint8), "a.png"], "Entry 1 is a str"),
        ([np.zeros((8, 8), np.uint8), np.zeros(8, np.uint8)], "Entry 1 has shape"),
    ],
)
def test_arrays_that_do_not_fit(data, message):
    with pytest.raises(DataError, match=message):
        open_source(data)
