"""Raw files of cameras are told from TIFF by what is in them, shown by the JPEG in them, and belong to their JPEG."""

import contextlib
import os
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from picture_files import encoded, scene
from selfsort import organize
from selfsort.formats import sniff
from selfsort.images import Unreadable, decode
from selfsort.photos.belonging import companions
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.duplicates import find_same
from selfsort.photos.embedded import Embedded
from selfsort.pixels import Preprocessing

WHOLE = Preprocessing(60, "fit")
CFA, LINEAR = 32803, 34892


def ifd(order, entries, at, following=0):
    """Return a directory and the values that do not fit it; `entries`: tag -> (type, values or bytes)."""
    entries = dict(sorted(entries.items()))
    head, tail = struct.pack(order + "H", len(entries)), b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in entries.items():
        if isinstance(values, bytes):
            content, n = values, len(values)
        else:
            content = struct.pack(f"{order}{len(values)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *values)
            n = len(values)
        if len(content) > 4:
            where, tail = struct.pack(order + "I", behind + len(tail)), tail + content + bytes(len(content) % 2)
        else:
            where = content.ljust(4, b"\0")
        head += struct.pack(order + "HHI", tag, kind, n) + where
    return head + struct.pack(order + "I", following) + tail


def picture(width, height, photometric, compression=1, reduced=0, **tags):
    entries = {254: (4, [reduced]), 256: (4, [width]), 257: (4, [height]), 258: (3, [8]), 259: (3, [compression])}
    return entries | {262: (3, [photometric])} | {int(tag[1:]): value for tag, value in tags.items()}


def raw_file(
    make, *, order="<", magic=None, first=None, second=None, preview=None, named=513, extra=None, chained=0, mark=b""
):
    """Return a file of two directories and a JPEG: the second below the first, or behind it."""
    start = magic or (b"II*\0" if order == "<" else b"MM\0*")
    preview = encoded(scene(300, 200), "JPEG", quality=95) if preview is None else preview
    one = picture(60, 40, 2, reduced=1) if first is None else first
    two = picture(900, 600, CFA, t273=(4, [8]), t279=(4, [10])) if second is None else second
    jpeg_at, main_at, first_at = 16, 16 + len(preview) + len(preview) % 2, 0
    main = ifd(order, two, main_at)
    first_at = main_at + len(main) + len(main) % 2
    one = {271: (2, make.encode() + b"\0"), **one, **(extra or {})}
    if preview and named:
        one |= {named: (4, [jpeg_at]), named + 1: (4, [len(preview)])} if named == 513 else {named: (7, preview)}
    one |= {} if chained else {330: (4, [main_at])}
    body = (
        start
        + struct.pack(order + "I", first_at)
        + mark.ljust(8, b"\0")
        + preview.ljust(main_at - jpeg_at, b"\0")
        + main
    )
    return body.ljust(first_at, b"\0") + ifd(order, one, first_at, main_at if chained else 0)


RAWS = {
    "NEF": raw_file("NIKON CORPORATION"),
    "NEF, of the other order": raw_file("NIKON CORPORATION", order=">"),
    "NRW": raw_file("NIKON", extra={272: (2, b"COOLPIX P7000\0")}),
    "DNG": raw_file("Acme", extra={50706: (1, [1, 4, 0, 0])}),
    "DNG, linear": raw_file("Apple", second=picture(900, 600, LINEAR, 7), extra={50706: (1, [1, 4, 0, 0])}),
    "DNG, not reduced": raw_file("Acme", first=picture(900, 600, CFA), extra={50706: (1, [1, 4, 0, 0])}),
    "CR2": raw_file("Canon", second=picture(900, 600, 2, 6), mark=b"CR\2\0"),
    "ARW": raw_file("SONY", second=picture(900, 600, CFA, 32767)),
    "SRW": raw_file("SAMSUNG", second=picture(900, 600, CFA, 32770), chained=1),
    "PEF": raw_file("PENTAX", first=picture(900, 600, CFA, 65535), second=picture(10, 10, 6, 6), chained=1),
    "3FR": raw_file("Hasselblad"),
    "IIQ": raw_file("Phase One A/S", mark=b"IIIITwaR"),
    "MOS": raw_file("Leaf", second=picture(900, 600, 1, t34310=(2, b"Leaf\0"))),
    "DCR": raw_file("Eastman Kodak Company", second=picture(900, 600, CFA, 65000)),
    "KDC": raw_file("Eastman Kodak Company"),
    "ERF": raw_file("SEIKO EPSON CORP."),
    "MEF": raw_file("Mamiya-OP Co.,Ltd."),
    "ORF": raw_file("OLYMPUS IMAGING CORP.", magic=b"IIRO", first=picture(900, 600, 1), named=None),
    "RWL": raw_file("LEICA CAMERA AG"),
    "RAW": raw_file("Acme"),
}  # fmt: skip


@pytest.mark.parametrize("name", RAWS)
def test_a_raw_file_is_shown_by_the_jpeg_in_it_at_the_size_of_its_picture(name):
    data, wanted = RAWS[name], name.split(",")[0]
    found = decode(data, WHOLE)
    assert (found.format, found.width, found.height) == (wanted, 900, 600)
    jpeg = decode(encoded(scene(300, 200), "JPEG", quality=95), WHOLE)
    np.testing.assert_array_equal(found.pixels, jpeg.pixels)
    assert Embedded(data).exif[271].strip("\0")


def test_panasonic_fujifilm_sigma_minolta_and_canon():
    preview = encoded(scene(300, 200), "JPEG", quality=95, exif=_turned(6))
    facts = {2: (4, [920]), 3: (4, [620]), 4: (4, [10]), 5: (4, [10]), 6: (4, [610]), 7: (4, [910])}
    panasonic = raw_file("Panasonic", magic=b"IIU\0", first=facts, second=facts, preview=preview, named=46)
    records = struct.pack(">IHHHH", 1, 0x0111, 4, 600, 900)
    at = 160 + len(preview)
    fuji = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">IIII", 160, len(preview), at, len(records))
    fuji = fuji.ljust(160, b"\0") + preview + records
    sigma = b"FOVb" + bytes(24) + struct.pack("<III", 900, 600, 0) + bytes(50) + preview
    minolta = b"\0MRM" + bytes(4) + b"\0PRD" + struct.pack(">I8sHHHH", 24, b"27820001", 620, 920, 600, 900) + preview
    canon = struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom" + b"CRAW" + bytes(24) + struct.pack(">HH", 900, 600)
    canon += bytes(40) + preview
    for name, data in {"RW2": panasonic, "RAF": fuji, "X3F": sigma, "MRW": minolta, "CR3": canon}.items():
        found = decode(data, WHOLE)
        assert (found.format, found.width, found.height) == (name, 600, 900), name  # turned as its JPEG says
        np.testing.assert_array_equal(found.pixels, decode(preview, WHOLE).pixels)


def _turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_raw_file_turns_its_jpeg(orientation):
    data = raw_file("NIKON CORPORATION", extra={274: (3, [orientation])})
    found, wanted = decode(data, WHOLE), decode(_as_jpeg(orientation), WHOLE)
    assert (found.width, found.height) == ((600, 900) if orientation >= 5 else (900, 600))
    np.testing.assert_array_equal(found.pixels, wanted.pixels)


def _as_jpeg(orientation):
    return encoded(scene(300, 200), "JPEG", quality=95, exif=_turned(orientation))


def test_a_jpeg_that_is_upright_already_is_not_turned_again():
    upright = encoded(scene(200, 300), "JPEG", quality=95)
    found = decode(raw_file("NIKON CORPORATION", extra={274: (3, [6])}, preview=upright), WHOLE)
    assert (found.width, found.height) == (600, 900)
    np.testing.assert_array_equal(found.pixels, decode(upright, WHOLE).pixels)


def test_the_size_is_that_which_is_to_be_shown():
    crop = picture(900, 600, CFA, t50720=(4, [880, 590]))
    active = picture(900, 600, CFA, t50829=(4, [5, 10, 595, 890]))
    for main, size in ((crop, (880, 590)), (active, (880, 590)), (picture(30, 20, CFA), (300, 200))):
        found = decode(raw_file("NIKON CORPORATION", second=main), WHOLE)
        assert (found.width, found.height) == size


def test_the_largest_jpeg_counts_and_lossless_ones_do_not():
    small, large = (encoded(scene(*size), "JPEG", quality=95) for size in ((90, 60), (300, 200)))
    lossless = large.replace(b"\xff\xc0", b"\xff\xc3")
    for named, other in ((small, large), (large, small), (large, lossless)):
        data = bytearray(raw_file("NIKON CORPORATION", preview=named))
        end = len(data)
        data += other
        main = data.index(struct.pack("<HHII", 256, 4, 1, 900)) - 14
        entries = picture(900, 600, CFA, 7, t273=(4, [end]), t279=(4, [len(other)]))
        moved = len(data) + len(data) % 2
        data = data.ljust(moved, b"\0") + ifd("<", entries, moved)
        data = bytes(data).replace(struct.pack("<HHII", 330, 4, 1, main), struct.pack("<HHII", 330, 4, 1, moved))
        np.testing.assert_array_equal(decode(data, WHOLE).pixels, decode(large, WHOLE).pixels)


def test_a_raw_file_without_a_jpeg_is_shown_by_its_small_copy_or_says_why_not():
    pixels = bytes(np.asarray(scene(60, 40)))
    at = len(raw_file("Acme", preview=b""))
    first = picture(60, 40, 2, reduced=1, t273=(4, [at + 500]), t277=(3, [3]), t278=(4, [40]), t279=(4, [len(pixels)]))
    first[258] = 3, [8, 8, 8]
    data = raw_file("NIKON CORPORATION", preview=b"", first=first).ljust(at + 500, b"\0") + pixels
    found = decode(data, WHOLE)
    assert (found.format, found.width, found.height) == ("NEF", 900, 600)
    assert np.abs(found.pixels.astype(int) - np.asarray(scene(60, 40)).astype(int)).mean() < 1
    for magic in (b"FUJIFILMCCD-RAW 0201", b"FOVb", b"\0MRM", b"IIRO\x08\0\0\0", b"IIU\0\x08\0\0\0"):
        with pytest.raises(Unreadable, match=r"raw file \(\w+\): no preview in it"):
            decode(magic + bytes(300), WHOLE)


def test_damaged_raw_files_give_a_picture_or_a_reason():
    rng = np.random.default_rng(5)
    for turn in range(400):
        data = bytearray(list(RAWS.values())[turn % len(RAWS)])
        for _ in range(rng.integers(1, 5)):
            place = int(rng.integers(0, len(data))) if rng.random() < 0.3 else len(data) - int(rng.integers(1, 200))
            data[place] = rng.integers(0, 256)
        with contextlib.suppress(Unreadable):
            decode(bytes(data[: rng.integers(1, len(data))] if turn % 5 == 0 else data), WHOLE)


def tiffs():
    """Yield files that are no raw files, each with the picture that it is to show."""
    plain = scene(90, 60)
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[271] = "NIKON CORPORATION"
    yield "of a camera", encoded(plain, "TIFF", tiffinfo=info), plain
    yield "of pages", encoded(plain, "TIFF", save_all=True, append_images=[scene(300, 200)]), plain
    small = scene(30, 20)
    for chained in (False, True):
        yield f"small copy first, {chained}", two_pictures(small, plain, chained, reduced=(1, 0)), plain
        yield f"small copy behind, {chained}", two_pictures(plain, small, chained, reduced=(0, 1)), plain
    yield "layers of a pyramid", two_pictures(plain, scene(45, 30), False, reduced=(0, 1)), plain


def two_pictures(one, other, chained, reduced):
    """Return a TIFF file of two pictures: the second below the first, or behind it."""
    directories = []
    for image, small in zip((one, other), reduced, strict=True):
        n = 3 * image.width * image.height
        entries = picture(*image.size, 2, reduced=small, t277=(3, [3]), t278=(4, [image.height]), t279=(4, [n]))
        directories.append(entries | {258: (3, [8, 8, 8]), 273: (4, [1000 if image is one else 50_000])})
    first, second = directories
    first |= {271: (2, b"Canon\0")} | ({} if chained else {330: (4, [400])})
    data = b"II*\0" + struct.pack("<I", 8) + ifd("<", first, 8, 400 if chained else 0)
    data = data.ljust(400, b"\0") + ifd("<", second, 400)
    data = data.ljust(1000, b"\0") + bytes(np.asarray(one))
    return data.ljust(50_000, b"\0") + bytes(np.asarray(other))


@pytest.mark.parametrize("case", list(tiffs()), ids=lambda case: case[0])
def test_other_tiff_files_are_read_as_they_were(case):
    _, data, wanted = case
    assert sniff(data) == "TIFF"
    found = decode(data, Preprocessing(90, "fit"))
    assert (found.width, found.height, found.format) == (90, 60, "TIFF")
    assert np.abs(found.pixels.astype(int) - np.asarray(wanted).astype(int)).mean() < 1


def test_jpeg_2000_is_read_and_jpeg_xl_named():
    for options in ({}, {"no_jp2": True}):
        found = decode(encoded(scene(), "JPEG2000", **options), Preprocessing(96, "fit"))
        assert (found.width, found.height, found.format) == (96, 64, "JPEG2000")
        assert np.abs(found.pixels.astype(int) - np.asarray(scene()).astype(int)).mean() < 2
    for start in (b"\xff\x0a\xfa\x1f", b"\0\0\0\x0cJXL \r\n\x87\n"):
        with pytest.raises(Unreadable, match="JPEG XL, which is not read"):
            decode(start + bytes(50), WHOLE)


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """A raw file beside its JPEG, another alone, a third as a copy of it, and pictures of other things."""
    folder = tmp_path_factory.mktemp("shots")
    (folder / "DSC_1.JPG").write_bytes(encoded(scene(600, 400), "JPEG", quality=95))
    (folder / "dsc_1.nef").write_bytes(RAWS["NEF"])
    (folder / "alone.dng").write_bytes(RAWS["DNG"])
    (folder / "small.jpg").write_bytes(encoded(scene(300, 200), "JPEG", quality=80))
    rng = np.random.default_rng(1)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(folder / f"other {i}.png")
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return organize(folder, folder.parent / "run"), folder.parent / "run"


def test_a_raw_file_belongs_to_its_jpeg(shots):
    clusters, _ = shots
    status = dict(zip(*(clusters.items.column(name).to_pylist() for name in ("path", "status")), strict=True))
    assert status["dsc_1.nef"] == "not an image of its own (raw file of DSC_1.JPG)"
    assert status["alone.dng"] == "ok"
    rows = {path: row for row, path in enumerate(status)}
    (found,) = companions(clusters, np.flatnonzero(clusters.ok).tolist())
    assert (found.row, found.picture) == (rows["dsc_1.nef"], rows["DSC_1.JPG"])


def test_a_raw_file_is_never_another_picture_once_more(shots):
    clusters, run = shots
    paths = clusters.items.column("path").to_pylist()
    with Catalog(catalog_path(run), make=False) as catalog:
        same = {frozenset(paths[row] for row in one.rows) for one in find_same(clusters, catalog)}
    assert frozenset(["DSC_1.JPG", "small.jpg"]) in same
    assert not any(path.endswith((".dng", ".nef")) for one in same for path in one)
