"""What belongs to a picture by its name, as phones, cameras and services write it."""

import tracemalloc
from contextlib import contextmanager

import pyarrow as pa
import pytest
from PIL import Image

from selfsort.features.cache import Cache
from selfsort.features.extract import extract
from selfsort.files import hash_file
from selfsort.photos.belonging import companions, owners
from selfsort.photos.export import export, undo
from selfsort.photos.journal import Journal
from selfsort.photos.originals import Originals
from selfsort.photos.writer import Writer
from selfsort.sources import open_source
from test_export import make_run
from test_extract import Means

UUID = "1A2B3C4D-0000-4111-8222-123456789ABC"
LONG = "a_picture_whose_name_is_too_long_for_notes_of_it.jpg"
#: What belongs to a picture, and which.
PAIRS = {
    "screen43.JPG.supplemental-metadata.json": "screen43.JPG",
    "a_rather_long_picture_name_2024_summer.jpg.supple.json": "a_rather_long_picture_name_2024_summer.jpg",
    "IMG_20240101_120000123.jpg.supplemental-metad.json": "IMG_20240101_120000123.jpg",
    "photo.jpg.s.json": "photo.jpg",
    "photo2.jpg..json": "photo2.jpg",
    "old_style.jpg.json": "old_style.jpg",
    "numbered.jpg(2).json": "numbered(2).jpg",
    "numbered.jpg.supplemental-metadata(3).json": "numbered(3).jpg",
    LONG[:46] + ".json": LONG,
    "IMG_0108_HEVC.MOV": "IMG_0108.JPG",
    "IMG_0109.MOV": "IMG_0109.HEIC",
    f"{UUID}_3.mov": f"{UUID}_1_105_c.jpeg",
    "IMG_O1234.AAE": "IMG_1234.HEIC",
    "IMG_1235.AAE": "IMG_1235.HEIC",
    "IMG_E1236.MOV": "IMG_E1236.JPG",
    "PXL_20230101_120000000.MP": "PXL_20230101_120000000.MP.jpg",
    "PXL_20230102_120000000.MP~2": "PXL_20230102_120000000.MP~2.jpg",
    "PXL_20230103_120000000.MP": "PXL_20230103_120000000.jpg",
    "PXL_20230104_120000000.MP.mp4": "PXL_20230104_120000000.jpg",
    "PXL_20230105_120000000.mp4": "PXL_20230105_120000000.jpg",
    "MVIMG_20190101_120000.MV": "MVIMG_20190101_120000.jpg",
    "20230101_120000.mp4": "20230101_120000.jpg",
    "camera.THM": "camera.JPG",
}
#: Names that look like those and belong to no picture that is there.
ALONE = [
    "IMG_O9999.AAE",
    "IMG_0108_OTHER.MOV",
    "PXL_20990101_120000000.MP",
    "other.jpg.supplemental-metadata.json",
    "photo.jpg.notes.json",
    "metadata.json",
    f"{UUID[:-1]}D_3.mov",
]


def test_what_phones_and_services_write_goes_with_its_picture(tmp_path):
    files = dict.fromkeys([*PAIRS, *PAIRS.values(), *ALONE], b"1")
    names = list(files)
    pictures = set(PAIRS.values())
    status = ["ok" if name in pictures else "not an image" for name in names]
    made = make_run(tmp_path, files, status=status)
    found = companions(made, [row for row, name in enumerate(names) if name in pictures])
    assert {names[one.row]: names[one.picture] for one in found} == PAIRS
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    known = owners(tmp_path)
    assert {name: of for name, of in known.items() if of} == {name: (of,) for name, of in PAIRS.items()}


def test_an_edited_copy_shares_the_notes_of_its_original(tmp_path):
    for name in (
        "a.jpg",
        "a-edited.jpg",
        "b.jpg",
        "b-bearbeitet.jpg",
        "a.jpg.supplemental-metadata.json",
        "b.jpg.json",
    ):
        (tmp_path / name).write_bytes(b"1")
    assert owners(tmp_path) == {
        "a.jpg.supplemental-metadata.json": ("a-edited.jpg", "a.jpg"),
        "b.jpg.json": ("b-bearbeitet.jpg", "b.jpg"),
    }


def test_a_long_film_by_a_rule_is_one_by_itself(tmp_path, monkeypatch):
    for name in ("IMG_1.HEIC", "IMG_1_HEVC.MOV", "X.MP.jpg", "X.MP"):
        (tmp_path / name).write_bytes(b"12345")
    assert owners(tmp_path) == {"IMG_1_HEVC.MOV": ("IMG_1.HEIC",), "X.MP": ("X.MP.jpg",)}
    monkeypatch.setattr("selfsort.photos.belonging.MAX_FILM_BYTES", 4)
    assert owners(tmp_path) == {}


FILM_BYTES = 192 << 20
#: What a process may have beside its programs: a film is larger.
MOST_BYTES = 96 << 20


@pytest.fixture
def film(tmp_path):
    """A picture and its film, which takes no room on the disk."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "IMG_1.JPG")
    with open(folder / "IMG_1.MOV", "wb") as file:
        file.write(b"\0\0\0\x18ftypqt  \0\0\0\0qt  ")
        file.truncate(FILM_BYTES)
    return folder


@contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def test_films_are_hashed_copied_and_trashed_in_pieces(tmp_path, film, monkeypatch):
    with Cache(tmp_path / "cache.sqlite") as cache, open_source(film) as source, little_memory():
        extracted = extract(source, Means(), cache)
    assert [extracted.status(row) for row in range(2)] == ["ok", "not an image (video)"]
    assert extracted.ids[1] == hash_file(film / "IMG_1.MOV")
    status = [extracted.status(row) for row in range(2)]
    made = make_run(film, dict.fromkeys((item.path for item in source.items), b"1"), status=status)
    for name, values in (("id", extracted.ids), ("size", [item.size for item in source.items])):
        made.items = made.items.set_column(made.items.column_names.index(name), name, pa.array(values))
    with little_memory():
        result = export(made, tmp_path / "out", mode="copy")
    assert sorted(result.done) == ["group-000/IMG_1.JPG", "group-000/IMG_1.MOV"]
    assert hash_file(tmp_path / "out/group-000/IMG_1.MOV") == extracted.ids[1]
    with little_memory():
        undo(tmp_path / "out")
        assert Originals(made).check(1) == (film / "IMG_1.MOV", None)


def test_a_film_that_changes_while_it_is_copied_is_not_exported(tmp_path, film):
    original = film / "IMG_1.MOV"
    (tmp_path / "out").mkdir()
    with Writer(tmp_path / "out", {"mode": "copy"}, Journal()) as writer, pytest.raises(OSError, match="reads back"):
        writer.copy("group-000/IMG_1.MOV", "copy", original, "another hash")
    assert [path.name for path in (tmp_path / "out/group-000").iterdir()] == []
