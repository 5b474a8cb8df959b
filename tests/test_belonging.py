"""What belongs to a picture by its name, as phones, cameras and services write it."""

from selfsort.photos.belonging import companions, owners
from test_export import make_run

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
