import io
import json
from datetime import datetime

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from selfsort.photos import metadata
from selfsort.photos.metadata import camera, events, read_metadata, taken, time_of_name

NOW = datetime(2026, 1, 1)


def photo(base=(), inner=(), gps=(), container="JPEG", **options):
    exif = Image.Exif()
    exif.update(dict(base))
    exif.get_ifd(0x8769).update(dict(inner))
    exif.get_ifd(0x8825).update(dict(gps))
    out = io.BytesIO()
    Image.new("RGB", (16, 8)).save(out, container, exif=exif, **options)
    return out.getvalue()


def xmp(attributes="", elements=""):
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
        f' xmlns:xmp="http://ns.adobe.com/xap/1.0/" {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>\0'
    ).encode()


def with_xmp(container, packet, **parts):
    """Return a picture with an XMP packet, as its container holds one."""
    if container == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        return photo(container=container, pnginfo=info, **parts)
    if container == "TIFF":
        return photo(container=container, tiffinfo={700: packet}, **parts)
    if container == "HEIF":
        import pillow_heif

        file = pillow_heif.from_pillow(Image.new("RGB", (64, 64)))
        out = io.BytesIO()
        file.save(out, xmp=packet)
        return out.getvalue()
    return photo(container=container, xmp=packet, **parts)


def with_iptc(day, clock):
    """Return a JPEG with two datasets of IPTC: 55 and 60."""
    sets = b"".join(
        b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text
        for number, text in ((55, day.encode()), (60, clock.encode()))
    )
    resource = b"8BIM\x04\x04\0\0" + len(sets).to_bytes(4, "big") + sets + b"\0" * (len(sets) % 2)
    segment = b"Photoshop 3.0\0" + resource
    data = photo({0x0132: "2020:01:01 10:00:00"})
    return data[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


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
    ("text", "date", "offset", "precision"),
    [
        ("2002: 7: 3  8: 5: 9", "2002-07-03T08:05:09", None, "second"),
        ("2002-07-03T08:05:09", "2002-07-03T08:05:09", None, "second"),
        ("2002/07/03 08:05", "2002-07-03T08:05:00", None, "minute"),
        ("2002.07.03 08.05.09", "2002-07-03T08:05:09", None, "second"),
        ("20020703 080509", "2002-07-03T08:05:09", None, "second"),
        ("2002:07:03 08:05:09.123", "2002-07-03T08:05:09", None, "second"),
        ("2002:07:03 01:05:09 PM", "2002-07-03T13:05:09", None, "second"),
        ("2002:07:03", "2002-07-03T00:00:00", None, "day"),
        ("2002:07:03   :  :  ", "2002-07-03T00:00:00", None, "day"),
        ("2002:07:00 00:00:00", "2002-07-01T00:00:00", None, "month"),
        ("2016:12:31 23:59:60", "2016-12-31T23:59:00", None, "minute"),
        ("2015:02:01 14:42:59+01:00", "2015-02-01T14:42:59", 60, "second"),
        ("2015:02:01 14:42:59 +5:30", "2015-02-01T14:42:59", 330, "second"),
        ("2015-02-01T14:42:59Z", "2015-02-01T14:42:59", 0, "second"),
        ("2015:02:01 14:42:59 UTC-3", "2015-02-01T14:42:59", -180, "second"),
        ("Sat, 01 Jun 2019 12:33:10 +0200", "2019-06-01T12:33:10", 120, "second"),
        ("Wed Oct 22 16:28:39 2008", "2008-10-22T16:28:39", None, "second"),
    ],
)
@pytest.mark.parametrize("directory", ["base", "inner"])
def test_dates_as_they_are_written(text, date, offset, precision, directory):
    facts = read_metadata(photo(**{"base": {0x0132: "2020:01:01 10:00:00"}, directory: {0x9003: text}}))
    found = (facts["date"], facts.get("offset"), facts.get("date_precision", "second"))
    assert found == (date, offset, precision)
    assert "changed" not in facts


@pytest.mark.parametrize(
    "text", ["1970:01:01 00:00:00", "1970:01:01 01:00:00", "1980:01:01 00:00:00", "1904:01:01 00:00:00", "  :  "]
)
def test_a_clock_that_was_never_set_tells_nothing(text):
    assert read_metadata(photo({}, {0x9003: text})) == {}
    assert read_metadata(photo({}, {0x9003: text, 0x9004: "2002:07:03 08:05:09"}))["date"] == "2002-07-03T08:05:09"


@pytest.mark.parametrize(
    ("base", "inner", "offset"),
    [
        ({}, {0x9011: "+5:30"}, 330),
        ({}, {0x882A: -7}, -420),
        ({0x0132: "2019:06:01 12:33:10"}, {0x9010: "-03:00"}, -180),  # that of the same moment
        ({0x0132: "2020:01:01 12:33:10"}, {0x9010: "-03:00"}, None),
        ({}, {0x9011: "   :  "}, None),
        ({0x9011: "+02:00"}, {}, 120),
    ],
)
def test_offsets_that_stand_beside_the_time(base, inner, offset):
    assert read_metadata(photo(base, {0x9003: "2019:06:01 12:33:10", **inner})).get("offset") == offset


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_xmp_where_there_is_no_exif(container):
    dates = 'exif:DateTimeOriginal="1988-12-01T18:53:44+02:00" xmp:ModifyDate="2023-01-01T00:00:01"'
    place = "<exif:GPSLatitude>47,30.0N</exif:GPSLatitude><exif:GPSLongitude>8,15,0W</exif:GPSLongitude>"
    height = "<exif:GPSAltitude>4325/10</exif:GPSAltitude><exif:GPSAltitudeRef>0</exif:GPSAltitudeRef>"
    assert read_metadata(with_xmp(container, xmp(f'xmp:CreateDate="2022-07-31" {dates}', place + height))) == {
        "date": "1988-12-01T18:53:44",
        "offset": 120,
        "date_source": "xmp",
        "latitude": 47.5,
        "longitude": -8.25,
        "altitude": 432.5,
    }


def test_when_it_was_taken_goes_before_when_it_was_scanned_or_edited():
    day = {"date": "1950-05-05T00:00:00", "date_source": "xmp", "date_precision": "day"}
    created, modified = 'photoshop:DateCreated="1950-05-05"', 'xmp:ModifyDate="2023-01-01T00:00:01"'
    scanned = {0x9004: "2015:01:01 01:02:03"}
    assert read_metadata(with_xmp("JPEG", xmp(f"{created} {modified}"), inner=scanned)) == day
    assert read_metadata(with_xmp("JPEG", xmp(modified), inner=scanned)) == {"date": "2015-01-01T01:02:03"}
    assert read_metadata(with_xmp("JPEG", xmp(modified))) == {"changed": "2023-01-01T00:00:01"}
    assert read_metadata(with_iptc("19881201", "185344+0200")) == {
        "date": "1988-12-01T18:53:44",
        "offset": 120,
        "date_source": "iptc",
    }
    year = taken(read_metadata(with_xmp("JPEG", xmp('photoshop:DateCreated="1988"'))), "IMG_20010101.jpg", None)
    assert (year.at.year, year.source, year.precision) == (1988, "xmp", "year")


@pytest.mark.parametrize("late", [False, True])
def test_creation_time_of_a_png(late):
    info = PngImagePlugin.PngInfo()
    info.add_text("Creation Time", "Sat, 01 Jun 2019 12:33:10 +0200")
    data = photo(container="PNG", pnginfo=info)
    if late:  # behind the pixels
        at = data.index(b"tEXt") - 4
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        data = data[:at] + data[end:-12] + data[at:end] + data[-12:]
    assert read_metadata(data) == {"date": "2019-06-01T12:33:10", "offset": 120, "date_source": "png"}


@pytest.mark.parametrize(
    ("gps", "place"),
    [
        ({1: "S", 2: (33.5, 0.0, 0.0), 3: "W", 4: (8.25,)}, (-33.5, -8.25)),
        ({2: (10.0, 30.0), 4: (20.0, 0.0, 36.0)}, (10.5, 20.01)),
        ({1: "South", 2: (10.0, 0.0, 0.0), 3: "w", 4: (20.0, 0.0, 0.0)}, (-10.0, -20.0)),
    ],
)
def test_places_as_they_are_written(gps, place):
    facts = read_metadata(photo({}, {}, gps))
    assert (facts["latitude"], facts["longitude"]) == pytest.approx(place)


def test_signed_degrees():
    def facts(latitude, reference):
        return metadata._position({2: (latitude, 30.0, 0.0), 1: reference, 4: (8.0, 15.0, 0.0), 3: "E"})

    assert [facts(sign * 47.0, ref)["latitude"] for sign, ref in ((-1, ""), (-1, "S"), (-1, "N"), (1, "N"))] == [
        -47.5,
        -47.5,
        -47.5,
        47.5,
    ]
    assert facts(-0.0, "")["latitude"] == -0.5
    as_text = metadata._position({1: "N", 2: "47,30.0", 3: "W", 4: "8,15,0"})
    assert (as_text["latitude"], as_text["longitude"]) == (47.5, -8.25)
    assert read_metadata(with_xmp("JPEG", xmp('exif:GPSLatitude="-47.5" exif:GPSLongitude="8.25"'))) == {
        "latitude": -47.5,
        "longitude": 8.25,
    }


def test_the_time_of_the_satellites_is_utc():
    gps = {0x1D: "2019:06:01", 7: (12.0, 33.0, 10.0)}
    assert read_metadata(photo({}, {}, gps)) == {"date": "2019-06-01T12:33:10", "offset": 0}


@pytest.mark.parametrize(
    "packet", [b"", b"<x", b"\0\0", b"<!DOCTYPE x>" + xmp(), xmp('exif:GPSLatitude="91,0N" exif:GPSLongitude="1,0E"')]
)
def test_damaged_xmp_is_left_out(packet):
    assert read_metadata(with_xmp("JPEG", packet)) == {}


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
        ("PXL_20210731_202443123.jpg", "2021-07-31T20:24:43+00:00", "second"),
        ("PXL_20210102_112233444.MP.jpg", "2021-01-02T11:22:33+00:00", "second"),
        ("mmexport1559384790123.jpg", "2019-06-01T10:26:30+00:00", "second"),
        ("20190601T123310Z.jpg", "2019-06-01T12:33:10+00:00", "second"),
        ("2019_0601_123310_001.JPG", "2019-06-01T12:33:10", "second"),
        ("photo_2@01-06-2019_12-33-10.jpg", "2019-06-01T12:33:10", "second"),
        ("Scan 01.06.2019.jpg", "2019-06-01T00:00:00", "day"),
        ("Bildschirmfoto 2019-06-01 um 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("Capture d’écran 2019-06-01 à 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("Capture d’écran 2019-06-01 a\u0300 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("Captura de pantalla 2019-06-01 a la(s) 1.33.10 p.\u00a0m..png", "2019-06-01T13:33:10", "second"),
        ("Schermata 2019-06-01 alle 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("Skärmavbild 2019-06-01 kl. 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("Näyttökuva 2019-6-1 kello 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("Снимок экрана 2019-06-01 в 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("Képernyőfotó 2019-06-01 - 12.33.10.png", "2019-06-01T12:33:10", "second"),
        ("截屏2019-06-01 下午1.33.10.png", "2019-06-01T13:33:10", "second"),
        ("vlcsnap-2019-06-01-12h33m10s123.png", "2019-06-01T12:33:10", "second"),
        ("2019060112331000-0ABCDEF123456789.jpg", "2019-06-01T12:33:10", "second"),
        ("WP_20190601_12_33_10_Pro.jpg", "2019-06-01T12:33:10", "second"),
        ("Screenshot 2019-06-01 123310.png", "2019-06-01T12:33:10", "second"),
        ("Screenshot_20190601-123310_App.jpg", "2019-06-01T12:33:10", "second"),
        ("2022-04-21_1203fe6c-bb0a-cf02-951c-00d09ac2d3cc.jpg", "2022-04-21T00:00:00", "day"),
        ("2022-04-21_12033310-bb0a-cf02-951c-00d09ac2d3cc.jpg", "2022-04-21T00:00:00", "day"),
        ("20190601-0042.jpg", "2019-06-01T00:00:00", "day"),
        ("20190601_1233.jpg", "2019-06-01T00:00:00", "day"),
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
    "name",
    [
        "20201332.jpg",
        "IMG_20190631.jpg",
        "DSC00012019.jpg",
        "IMG_1234.jpg",
        "120190601.jpg",
        "20190601-1203-4a5b-8c7d-0123456789ab.jpg",
        "d41d8cd98f00b20190601998ecf8427e.jpg",
        "192.168.01.2019.jpg",
    ],
)
def test_numbers_that_are_no_times(name):
    assert time_of_name(name) is None


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
