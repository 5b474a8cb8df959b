import io
import json
from datetime import datetime

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from selfsort.photos.metadata import camera, events, read_metadata, taken, time_of_name

NOW = datetime(2026, 1, 1)


def photo(base=(), inner=(), gps=(), container="JPEG"):
    exif = Image.Exif()
    exif.update(dict(base))
    exif.get_ifd(0x8769).update(dict(inner))
    exif.get_ifd(0x8825).update(dict(gps))
    out = io.BytesIO()
    Image.new("RGB", (16, 8)).save(out, container, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP"])
def test_all_that_a_camera_writes(container):
    facts = read_metadata(
        photo(
            {0x010F: "Nikon ", 0x0110: "D70\0\0"},
            {0x9003: "2019:06:01 12:33:10", 0x9011: "+02:00", 0x829A: IFDRational(1, 60), 0x8827: 200},
            {1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.5, 0.0), 5: b"\1", 6: IFDRational(5, 2)},
            container,
        )
    )
    assert facts == {
        "date": "2019-06-01T12:33:10",
        "offset": 120,
        "latitude": -33.858333,
        "longitude": 151.208333,
        "altitude": -2.5,
        "make": "Nikon",
        "model": "D70",
        "exposure": pytest.approx(1 / 60),
        "iso": 200.0,
    }
    assert taken(facts, "IMG_20010101.jpg", 0).at.isoformat() == "2019-06-01T12:33:10+02:00"


@pytest.mark.parametrize(
    ("inner", "gps"),
    [
        ({0x9003: "0000:00:00 00:00:00"}, {}),
        ({0x9003: "2019:13:45 99:99:99"}, {}),
        ({0x9003: "9999:01:01 00:00:00"}, {}),
        ({0x9003: b"\xff\xfe\x00"}, {}),
        ({}, {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}),
        ({}, {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}),
        ({}, {1: "N", 2: (IFDRational(1, 0), 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)}),
        ({}, {1: "N", 2: (48.0, 51.0, 30.0)}),
        ({0x829A: IFDRational(0, 0), 0x8827: 0}, {}),
    ],
)
def test_what_is_impossible_is_left_out(inner, gps):
    assert read_metadata(photo({}, inner, gps)) == {}


def damaged(seed):
    """Return a picture whose EXIF block is wrong, in one of the containers that have one."""
    rng = np.random.default_rng(seed)
    data = bytearray(
        photo(
            {0x010F: "Nikon", 0x0110: "D70", 0x0132: "2019:06:01 12:33:10"},
            {0x9003: "2019:06:01 12:33:10", 0x9011: "+02:00", 0x829A: IFDRational(1, 60), 0x8827: 200},
            {1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (1.0, 2.0, 3.0), 6: 5.0},
            str(rng.choice(["JPEG", "PNG", "WEBP", "TIFF"])),
        )
    )
    start = max(data.find(b"Exif"), data.find(b"eXIf"), data.find(b"EXIF"), 0)
    end = min(start + 400, len(data))
    kind = rng.integers(5)
    if kind == 0:  # single bytes
        for place in rng.integers(start, end, rng.integers(1, 30)):
            data[place] = rng.integers(256)
    elif kind == 1:  # cut off
        del data[rng.integers(len(data)) :]
    elif kind == 2:  # counts and offsets that lead out of the block, or back into it
        for place in rng.integers(start, end - 4, 6):
            data[place : place + 4] = int(rng.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 8])).to_bytes(4, "little")
    elif kind == 3:  # a part twice, or moved
        place, other, length = rng.integers(start, end, 3)
        data[place:place] = data[other : other + length % 60]
    else:  # noise
        data[start + 10 : end] = rng.bytes(end - start - 10)
    return bytes(data)


@pytest.mark.parametrize("block", range(10))
def test_fifty_damaged_blocks_never_fail(block):
    """500 in all: facts of plain types, in their bounds, or none."""
    n_with_facts = 0
    for seed in range(50 * block, 50 * block + 50):
        facts = read_metadata(damaged(seed))
        n_with_facts += bool(facts)
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts
        assert abs(facts.get("latitude", 0)) <= 90
        assert abs(facts.get("longitude", 0)) <= 180
        assert all(len(value) <= 100 for value in facts.values() if isinstance(value, str))
        taken(facts, "IMG_1.jpg", None)
    assert 5 < n_with_facts < 50


def test_no_picture_has_no_metadata():
    assert read_metadata(b"") == read_metadata(b"text") == read_metadata(b"\xff\xd8\xff") == {}


def test_where_the_time_comes_from():
    named = "2018-03-04 05.06.07.jpg"
    changed = {"changed": "2017-01-01T00:00:00"}
    assert taken({"date": "2019-06-01T12:33:10"}, named, 5).source == "exif"
    assert taken(changed, f"a/{named}", 5).source == "name"
    assert taken(changed, "IMG_1.jpg", 5).source == "changed"
    assert taken({}, "IMG_1.jpg", 1_500_000_000_000_000_000).source == "file"
    assert taken({}, "IMG_1.jpg", None) is None
    assert taken({}, "IMG_1.jpg", 10**30) is None
    assert taken({}, "IMG_20500101_000000.jpg", None, now=NOW) is None  # not yet


@pytest.mark.parametrize(
    ("name", "time", "precision"),
    [
        ("PXL_20210102_112233444.MP.jpg", "2021-01-02T11:22:33", "second"),
        ("Screenshot 2020-05-06 at 10.11.12.png", "2020-05-06T10:11:12", "second"),
        ("WhatsApp Image 2019-06-01 at 12.33.10.jpeg", "2019-06-01T12:33:10", "second"),
        ("2019.06.01 12.33.jpg", "2019-06-01T12:33:00", "minute"),
        ("signal-2021-03-04-120000_002.jpg", "2021-03-04T12:00:00", "second"),
        ("photo_5_2021-05-06_10-11-12.jpg", "2021-05-06T10:11:12", "second"),
        ("Screen Shot 2021-03-04 at 10.11.12 PM.png", "2021-03-04T22:11:12", "second"),
        ("Screenshot 2021-03-04 at 9.05.12\u202fAM.png", "2021-03-04T09:05:12", "second"),
        ("2021-03-04 at 12.05.12 AM.png", "2021-03-04T00:05:12", "second"),
        ("20190601123310.jpg", "2019-06-01T12:33:10", "second"),
        ("IMG-20190601-WA0001.jpg", "2019-06-01T00:00:00", "day"),
    ],
)
def test_times_in_names(name, time, precision):
    found = time_of_name(name)
    assert (found.at.isoformat(), found.source, found.precision) == (time, "name", precision)


@pytest.mark.parametrize(
    "name", ["20201332.jpg", "IMG_20190631.jpg", "DSC00012019.jpg", "IMG_1234.jpg", "120190601.jpg"]
)
def test_numbers_that_are_no_times(name):
    assert time_of_name(name) is None


def test_milliseconds_since_1970():
    assert time_of_name("mmexport1559384790123.jpg").at.date().isoformat() in ("2019-06-01", "2019-05-31", "2019-06-02")


def test_events_end_where_gaps_are_long():
    hour = 3600.0
    walk, dinner, years_later = np.arange(20) * 60.0, 6 * hour + np.arange(5) * 120.0, [1e8, 1e8 + 5]
    seconds = np.concatenate([walk, dinner, years_later, [np.nan]])
    order = np.random.default_rng(0).permutation(len(seconds))
    found = np.empty(len(seconds), int)
    found[order] = events(seconds[order])
    assert found.tolist() == [0] * 20 + [1] * 5 + [2] * 2 + [-1]
    assert events([]).tolist() == []
    assert events([np.nan]).tolist() == [-1]
    assert events([5.0]).tolist() == [0]


def test_a_steady_trickle_is_one_event_and_a_day_is_not():
    assert set(events(np.arange(50) * 3000.0)) == {0}
    assert len(set(events(np.arange(5) * 100_000.0))) == 5


def test_real_cameras(data):
    import csv
    import tarfile

    with open(data / "photos/f1_library_labels.csv", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    dates = places = 0
    with tarfile.open(data / "photos/f1_library.tar") as tar:
        for member in tar:
            row = rows[member.name]
            facts = read_metadata(tar.extractfile(member).read())
            date = facts.get("date", facts.get("changed"))
            wanted = row["datetime"].replace(":", "-", 2).replace(" ", "T")
            assert (date or "") == wanted
            dates += bool(wanted)
            numbers = row["gps"].replace(",", " ").split()
            known = len(numbers) == 2 and numbers[0][-1].isdigit()  # else "tags only"
            assert ("latitude" in facts) == known
            if known:
                latitude, longitude = map(float, numbers)
                assert (facts["latitude"], facts["longitude"]) == pytest.approx((latitude, longitude), abs=1e-4)
                places += 1
    assert (dates, places) == (98, 15)


@pytest.mark.parametrize(
    ("make", "model", "right"),
    [
        ("Canon", "Canon EOS 40D", "Canon EOS 40D"),
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("NIKON", "COOLPIX P6000", "NIKON COOLPIX P6000"),
        ("EASTMAN KODAK COMPANY", "KODAK DX4900 ZOOM", "KODAK DX4900 ZOOM"),
        ("LG Electronics", "LG-H815", "LG-H815"),
        ("HP", "hp photosmart 720", "hp photosmart 720"),
        ("Apple", "iPhone 4", "Apple iPhone 4"),
        ("Canon", "Canon", "Canon"),
        ("Canon", "", "Canon"),
        ("", "X100", "X100"),
        ("", "", ""),
    ],
)
def test_a_camera_is_named_once(make, model, right):
    facts = {name: value for name, value in (("make", make), ("model", model)) if value}
    assert camera(facts) == right
