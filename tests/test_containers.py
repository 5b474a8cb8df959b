"""Metadata never costs a picture, and of a file that ends early what is there is shown and said to be cut."""

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image

from picture_files import (
    encoded,
    png_chunk,
    riff,
    riff_chunks,
    scene,
    segment,
    with_chunks,
    with_properties,
    with_segments,
)
from selfsort.images import PictureFile, Unreadable, decode
from selfsort.photos.embedded import Embedded
from selfsort.pixels import Preprocessing

WHOLE = Preprocessing(96, "fit")
EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010F] = 6, "maker"
TEXT = b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 << 20))
SHORT = [(kind, b"\0") for kind in (b"pHYs", b"gAMA", b"cHRM", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"bKGD", b"sBIT")]
PNG_PARTS = {
    "text of 3 MiB": png_chunk(*TEXT),
    "international text of 3 MiB": png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(3 << 20))),
    "much text": png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20))) * 70,
    "color profile of 3 MiB": png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(3 << 20))),
    "color profile of no kind": png_chunk(b"iCCP", b"a\0\7xx"),
    "wrong checksum of text": png_chunk(b"tEXt", b"a\0b", crc=7),
    "wrong checksum of a profile": png_chunk(b"sRGB", b"\0", crc=7),
    "wrong checksum of what is unknown": png_chunk(b"quUx", b"abc", crc=7),
    "no exposure": png_chunk(b"sRGB", b""),
    "frames out of order": png_chunk(b"acTL", struct.pack(">II", 2, 0))
    + png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 7, 96, 64, 0, 0, 1, 1, 0, 0)),
    "frames larger than the picture": png_chunk(b"acTL", struct.pack(">II", 2, 0))
    + png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9600, 64, 0, 0, 1, 1, 0, 0)),
    "a length that is wrong": struct.pack(">I", 1 << 30) + b"tEXtabc",
    "a chunk of no name": png_chunk(b"\xff\0\0\0", b"abc"),
} | {f"short {kind.decode()}": png_chunk(kind, content) for kind, content in SHORT}
JPEG_PARTS = {
    f"{marker:02x} {content[:40]!r}": segment(marker, content)
    for marker, content in [
        (0xE0, b"JFIF\0"),
        (0xE0, b"JFIF\0\1"),
        (0xE0, b""),
        (0xE1, b"Exif\0\0"),
        (0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x"),
        (0xE2, b"ICC_PROFILE\0"),
        (0xE2, b"ICC_PROFILE\0\1"),
        (0xE2, b"MPF\0"),
        (0xE2, b"MPF\0MM\0*\xff\xff\xff\xff"),
        (0xED, b"Photoshop 3.0\x008BIM"),
        (0xED, b"Photoshop 3.0\x008BIM\3\xed"),
        (0xED, b"Photoshop 3.0\x008BIM\3\xed\0\0\0\0\0\2\0\0"),
        (0xEE, b"Adobe"),
        (0xEE, b"Adobe\0"),
        (0xEE, b"Adobe\0\x64\0\0\0\0"),
        (0xFE, b""),
    ]
}


def pixels(data):
    return decode(data, WHOLE).pixels.astype(int)


def assert_same(data, other, mean=0.0):
    assert np.abs(pixels(data) - pixels(other)).mean() <= mean
    assert decode(data, WHOLE).cut is None


@pytest.mark.parametrize("part", PNG_PARTS.values(), ids=PNG_PARTS)
def test_no_ancillary_chunk_costs_a_png(part):
    plain = encoded(scene(), "PNG")
    assert_same(with_chunks(plain, part), plain)
    behind = with_chunks(plain, part, at=len(plain) - 12)
    assert_same(behind, plain)


def test_what_a_png_says_beside_what_is_damaged_still_holds():
    plain = encoded(scene(), "PNG", exif=EXIF)
    damaged = with_chunks(plain, png_chunk(b"pHYs", b"\0"))
    assert (decode(damaged, WHOLE).width, decode(damaged, WHOLE).height) == (64, 96)
    assert_same(damaged, plain)
    assert Embedded(damaged).exif[0x010F] == "maker"
    key = encoded(Image.new("RGB", (40, 40), (255, 0, 255)), "PNG", transparency=(255, 0, 255))
    clear = encoded(scene().quantize(8), "PNG", transparency=bytes([0, 128, 255]))
    for transparent in (key, clear):
        assert_same(with_chunks(transparent, png_chunk(b"gAMA", b"")), transparent)


@pytest.mark.parametrize("end", [1, 4, 8, 12, 13, 16])
def test_a_png_without_its_end_is_whole(end):
    plain = encoded(scene(), "PNG")
    assert_same(plain[:-end], plain)
    assert_same(plain + b"garbage" * 9, plain)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
def test_a_png_that_ends_early_shows_what_is_there(mode, interlaced):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    image = noise.quantize(64) if mode == "P" else noise.convert(mode)
    data = encoded(image, "PNG")
    if interlaced:
        data = _interlaced(image, data)
    start = data.index(b"IDAT") + 4
    cut = data[: start + (len(data) - start) * 6 // 10]
    picture = decode(cut, WHOLE)
    assert picture.cut == pytest.approx(0.6, abs=0.06)
    if not interlaced:
        assert np.abs(picture.pixels[:34].astype(int) - pixels(data)[:34]).mean() < 1
    with pytest.raises(Unreadable, match="truncated or damaged PNG"):
        decode(data[: start + 2], WHOLE)


def _interlaced(image, data):
    """Write the rows of Adam7's passes, which Pillow does not."""
    values = np.asarray(image)
    if image.mode == "1":
        values = values.astype(np.uint8)
    rows = []
    for left, top, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        part = values[top::down, left::across]
        rows += [b"\0" + (np.packbits(row).tobytes() if image.mode == "1" else row.tobytes()) for row in part]
    header = data[16:28] + b"\1"
    palette = data[data.index(b"PLTE") - 4 : data.index(b"IDAT") - 4] if b"PLTE" in data else b""
    body = png_chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return data[:8] + png_chunk(b"IHDR", header) + palette + body + png_chunk(b"IEND", b"")


def test_pixels_of_a_png_that_are_damaged_are_no_picture():
    data = bytearray(encoded(scene(), "PNG"))
    at = data.index(b"IDAT") + 40
    data[at : at + 60] = b"\xff" * 60
    with pytest.raises(Unreadable, match="damaged pixels"):
        decode(bytes(data), WHOLE)


@pytest.mark.parametrize("part", JPEG_PARTS.values(), ids=JPEG_PARTS)
def test_no_segment_of_programs_costs_a_jpeg(part):
    plain = encoded(scene(), "JPEG")
    assert_same(with_segments(plain, part), plain)


def test_what_a_jpeg_says_beside_what_is_damaged_still_holds():
    exif = segment(0xE1, EXIF.tobytes())
    plain = encoded(scene(), "JPEG")
    damaged = with_segments(plain, segment(0xE0, b"JFIF\0"), exif, segment(0xED, b"Photoshop 3.0\x008BIM"))
    assert_same(damaged, with_segments(plain, exif))
    assert Embedded(damaged).exif[0x010F] == "maker"
    for transform in (0, 1):  # the colors of three channels are as Adobe's segment says
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        colors = with_segments(plain, adobe)
        assert_same(with_segments(plain, segment(0xE0, b"JFIF"), segment(0xE0, b"JFIF\0"), adobe), colors)
    cmyk = encoded(scene().convert("CMYK"), "JPEG")
    assert_same(cmyk[:2] + segment(0xE2, b"ICC_PROFILE\0") + cmyk[2:], cmyk)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 3}], ids=str
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end_is_whole(mode, options):
    plain = encoded(scene().convert(mode), "JPEG", **options)
    for data in (plain[:-1], plain[:-2], plain[:-2] + bytes(500), plain + b"garbage" * 99):
        assert_same(data, plain)


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 5}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["as it is", "with an end"])
def test_a_jpeg_that_lacks_rows_shows_those_that_are_there(mode, options, end):
    if mode == "CMYK" and end:
        pytest.skip("the gray of four inks is not looked for")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (320, 480, 3), np.uint8)).convert(mode)
    data = encoded(noise, "JPEG", **options)
    start = data.index(b"\xff\xda")
    cut = data[: start + (len(data) - start) * 6 // 10] + end
    for side in (480, 40):  # at an eighth, too
        picture = decode(cut, Preprocessing(side, "fit"))
        assert picture.cut == pytest.approx(0.6, abs=0.06)
        assert (picture.width, picture.height) == (480, 320)
    rows = int(320 * picture.cut) - 1
    shown, whole = (decode(part, Preprocessing(480, "fit")).pixels[:rows].astype(int) for part in (cut, data))
    assert np.abs(shown - whole).mean() < 0.5
    with pytest.raises(Unreadable, match="none of its rows is there"):
        decode(data[: start + 20] + end, WHOLE)


def test_a_progressive_jpeg_that_lacks_details_is_cut_and_has_all_rows():
    data = encoded(scene(480, 320), "JPEG", progressive=True, quality=95)
    scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    assert len(scans) > 4
    assert decode(data, WHOLE).cut is None
    for scan in scans[1:]:
        assert decode(data[:scan], WHOLE).cut == 1.0
        assert decode(data[: scan + 40], WHOLE).cut == 1.0
    assert decode(data[: (scans[-1] + len(data)) // 2], WHOLE).cut == 1.0
    middle = (scans[0] + scans[1]) // 2
    assert 0.2 < decode(data[:middle], WHOLE).cut < 0.8


def test_a_picture_that_ends_in_gray_is_whole():
    image = scene(480, 320)
    image.paste((128, 128, 128), (0, 160, 480, 320))
    for options in ({}, {"progressive": True}):
        data = encoded(image, "JPEG", quality=90, **options)
        assert_same(data, data)
        assert decode(data[:-2], WHOLE).cut is None
    assert decode(encoded(Image.new("L", (64, 64), 128), "JPEG"), WHOLE).cut is None


def test_the_cut_is_known_whatever_size_was_decoded_first():
    data = encoded(scene(2000, 1500), "JPEG")
    file = PictureFile(data[: len(data) // 2])
    cuts = {decode(file, Preprocessing(side, "fit")).cut for side in (64, 2000, 500, 64)}
    assert len(cuts) == 1
    assert 0.3 < cuts.pop() < 0.7


def webps():
    plain = encoded(scene(), "WEBP", exif=EXIF, icc_profile=b"profile", xmp=b"<x/>")
    chunks = riff_chunks(plain)
    assert [kind for kind, _ in chunks] == [b"VP8X", b"ICCP", b"VP8 ", b"EXIF", b"XMP "]
    yield "cut in EXIF", plain[: plain.index(b"EXIF") + 20]
    yield "cut in XMP", plain[: plain.index(b"XMP ") + 10]
    yield "says to be larger", plain[:4] + struct.pack("<I", len(plain) + 999) + plain[8:]
    yield "says to be smaller", plain[:4] + struct.pack("<I", len(plain) - 40) + plain[8:]
    yield "another chunk first", riff([(b"JUNK", b"abc"), *chunks])
    yield "no profile", riff([(kind, b"" if kind == b"ICCP" else content) for kind, content in chunks])
    yield "notes that are absent", riff([chunk for chunk in chunks if chunk[0] in (b"VP8X", b"VP8 ")])


@pytest.mark.parametrize("data", [data for _, data in webps()], ids=[name for name, _ in webps()])
def test_nothing_beside_the_pixels_costs_a_webp(data):
    assert_same(data, encoded(scene(), "WEBP", exif=EXIF) if b"maker" in data else encoded(scene(), "WEBP"))


@pytest.mark.parametrize(
    "block", [b"!\xf9\x02\0\0\0", b"!\xf9\0", b"!\xff\x03NET\0", b"!\xff\x0bNETSCAPE2.0\x01\x01\0", b"!\xfe\0"]
)
def test_no_extension_costs_a_gif(block):
    plain = encoded(scene(), "GIF")
    at = 13 + 3 * (2 << (plain[10] & 7))
    assert_same(plain[:at] + block + plain[at:], plain)
    assert_same(plain[:-1], plain)
    clear = encoded(scene().quantize(8), "GIF", transparency=3)
    at = 13 + 3 * (2 << (clear[10] & 7))
    assert_same(clear[:at] + block + clear[at:], clear)


@pytest.mark.parametrize("tag", [270, 271, 305, 306, 700, 33432, 34675])
def test_no_tag_beside_the_pixels_costs_a_tiff(tag):
    from PIL import TiffImagePlugin

    info = TiffImagePlugin.ImageFileDirectory_v2()
    for text in (270, 271, 305, 306, 33432):
        info[text] = "words " * 5
    info[700], info[34675] = b"<x/>" * 9, b"profile" * 9
    plain = encoded(scene(), "TIFF", tiffinfo=info)
    start = int.from_bytes(plain[4:8], "little")
    places = range(start + 2, start + 2 + 12 * int.from_bytes(plain[start : start + 2], "little"), 12)
    at = next(at for at in places if int.from_bytes(plain[at : at + 2], "little") == tag)
    kind, count, value = struct.unpack_from("<HII", plain, at + 2)
    for facts in (
        (kind, count, 0xFFFFFFF0),
        (99, count, value),
        (kind, 0xFFFFFFF, value),
        (kind, 0, value),
        (2, count, value),
        (12, count, value),
    ):
        assert_same(plain[: at + 2] + struct.pack("<HII", *facts) + plain[at + 12 :], plain)


@pytest.mark.parametrize("content", [b"junkjunk", b"MM\0*\xff\xff\xff\xff", bytes(8)])
def test_no_exif_costs_an_avif(content):
    plain = encoded(scene(), "AVIF", exif=EXIF)
    at = plain.rindex(b"MM\0*") if b"MM\0*" in plain else plain.rindex(b"II*\0")
    assert_same(plain[:at] + content + plain[at + 8 :], plain)


APERTURES = [
    None,
    ((41, 1), (32, 1), (0, 1), (0, 1)),  # at even places: elsewhere libheif moves the colors
    ((41, 1), (32, 1), (10, 1), (-4, 1)),
    ((82, 2), (40, 1), (-8, 2), (4, 1)),
    ((101, 1), (64, 1), (0, 1), (0, 1)),
]


@pytest.mark.parametrize("turned", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [None, 0, 1])
@pytest.mark.parametrize("aperture", APERTURES)
def test_an_avif_is_cropped_and_turned_as_a_heic_is(turned, mirrored, aperture):
    properties = [(b"clap", struct.pack(">IIIIiIiI", *sum(aperture, ())))] if aperture else []
    properties += [(b"irot", bytes([turned]))] if turned is not None else []
    properties += [(b"imir", bytes([mirrored]))] if mirrored is not None else []
    other = decode(with_properties(_heic(), properties), WHOLE)
    for plain in _avifs():
        picture = decode(with_properties(plain, properties), WHOLE)
        assert (picture.width, picture.height) == (other.width, other.height)
        assert np.abs(picture.pixels.astype(int) - other.pixels.astype(int)).mean() < 4.5


_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@cache
def _heic():
    out = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(scene(101, 64)).save(out, quality=95)
    return out.getvalue()


@cache
def _avifs():
    notes = ({}, {"xmp": _XMP}, {"exif": _named("maker"), "xmp": _XMP})
    return [encoded(scene(101, 64), "AVIF", quality=95, **each) for each in notes]


def _named(maker):
    exif = Image.Exif()
    exif[0x010F] = maker
    return exif


def test_exif_does_not_turn_an_avif():
    plain = encoded(
        scene(), "AVIF", exif=_turned(8)
    )  # Pillow writes that into the container, and leaves it out of EXIF
    assert decode(plain, WHOLE).width == 64
    turn = plain.index(b"irot") + 4
    assert decode(plain[:turn] + b"\0" + plain[turn + 1 :], WHOLE).width == 96


def _turned(orientation):
    exif = _named("maker")
    exif[0x0112] = orientation
    return exif


def test_an_aperture_that_is_not_there_is_not_heeded():
    plain = encoded(scene(), "AVIF")
    for aperture in (((500, 1), (30, 1), (0, 1), (0, 1)), ((40, 0), (30, 1), (0, 1), (0, 1)), ((0, 1),) * 4):
        data = with_properties(plain, [(b"clap", struct.pack(">IIIIiIiI", *sum(aperture, ())))])
        assert decode(data, WHOLE).width == 96
