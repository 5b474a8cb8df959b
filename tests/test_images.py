import csv
import io
import os
import struct
import subprocess
import sys
import tarfile
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, JpegImagePlugin

from selfsort.errors import DataError
from selfsort.formats import sniff
from selfsort.images import Picture, PictureFile, Unreadable, array_from_image, decode, from_array
from selfsort.pixels import BACKDROP, Preprocessing, thumbnail

SMALL = Preprocessing(size=32)


def quadrants(width=96, height=64):
    """Red, green / blue, white: every turn and mirror image looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    h, w = height // 2, width // 2
    pixels[:h, :w], pixels[:h, w:], pixels[h:, :w], pixels[h:, w:] = (220, 30, 30), (30, 200, 30), (30, 30, 210), 240
    return Image.fromarray(pixels)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(width, height, depth=8, color=2, body=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def reason(data, **options):
    with pytest.raises(Unreadable) as caught:
        decode(data, SMALL, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_close(pixels, expected, mean=3.0):
    assert np.abs(pixels.astype(int) - np.asarray(expected).astype(int)).mean() < mean


FORMATS = [
    ("JPEG", {"quality": 95}),
    ("JPEG", {"quality": 95, "progressive": True}),
    ("PNG", {}),
    ("WEBP", {"quality": 95}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("PPM", {}),
    ("AVIF", {"quality": 95}),
    ("ICO", {"sizes": [(96, 64)]}),
]


@pytest.mark.parametrize(("kind", "options"), FORMATS, ids=lambda value: str(value))
def test_every_format_gives_the_same_picture(kind, options):
    image = quadrants()
    picture = decode(encoded(image, kind, **options), SMALL)
    assert (picture.width, picture.height, picture.format) == (96, 64, kind)
    assert picture.pixels.shape == (32, 32, 3)
    assert picture.pixels.dtype == np.uint8
    assert_close(picture.pixels, image.resize((32, 32), Image.Resampling.BICUBIC), 6)


def test_heif():
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(quadrants(128, 96)).save(out, quality=95)
    picture = decode(out.getvalue(), SMALL)
    assert (picture.width, picture.height, picture.format) == (128, 96, "HEIF")
    assert_close(picture.pixels, quadrants(128, 96).resize((32, 32), Image.Resampling.BICUBIC), 6)


@pytest.mark.parametrize("size", [(640, 480), (333, 517), (1000, 90), (2000, 1500)])
def test_scaling_while_decoding_changes_little(size):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (12, 9, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    data = encoded(image, "JPEG", quality=95)
    full = Image.open(io.BytesIO(data)).resize((224, 224), Image.Resampling.BICUBIC)
    assert_close(decode(data, Preprocessing()).pixels, full, 1.5)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (96, 64), (640, 480), (2000, 1500)])
def test_pictures_of_one_file_are_those_of_its_bytes_whatever_else_was_decoded(kind, size):
    image = quadrants().resize(size)
    exif = image.getexif()
    exif[0x0112] = 6
    data = encoded(image, kind, exif=exif)
    file = PictureFile(data)
    for wanted, least in [(SMALL, 1.0), (Preprocessing(512, "fit"), 0.97), (Preprocessing(224), 1.0), (SMALL, 1.0)]:
        picture, alone = decode(file, wanted, least=least), decode(data, wanted, least=least)
        np.testing.assert_array_equal(picture.pixels, alone.pixels)
        assert (picture.width, picture.height, picture.format) == (alone.width, alone.height, alone.format)


def test_sizes_that_need_the_same_scale_share_a_decoding(monkeypatch):
    decoded = {}
    whole = JpegImagePlugin.JpegImageFile.load

    def load(image):
        decoded[id(image)] = image  # kept, so that no other gets its id
        return whole(image)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    file = PictureFile(encoded(quadrants(4000, 3000), "JPEG"))
    for wanted, least in [(Preprocessing(224), 1.0), (Preprocessing(512, "fit"), 0.97), (Preprocessing(600), 1.0)]:
        decode(file, wanted, least=least)
    assert [image.size for image in decoded.values()] == [(500, 375), (1000, 750)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["squash", "crop", "fit"])
def test_every_orientation_is_turned_upright(kind, orientation, resize):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(quadrants(101, 64), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    preprocessing = Preprocessing(32, resize)
    picture = decode(data, preprocessing)
    assert (picture.width, picture.height) == upright.size
    assert_close(picture.pixels, decode(encoded(upright, "PNG", exif=b""), preprocessing).pixels, 4)


def test_bad_exif_does_not_cost_the_picture():
    for exif in (b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40):
        assert decode(encoded(quadrants(), "JPEG", exif=exif), SMALL).width == 96


def test_crop_keeps_the_center_and_fit_keeps_everything():
    stripes = np.zeros((50, 200, 3), np.uint8)
    stripes[:, 75:125] = 255
    data = encoded(Image.fromarray(stripes), "PNG")
    assert decode(data, Preprocessing(32, "crop")).pixels[:, 2:-2].min() > 230
    whole = decode(data, Preprocessing(32, "fit")).pixels
    assert whole.shape == (8, 32, 3)
    assert whole[4, 16].min() > 200
    assert whole[4, 2].max() < 30


@pytest.mark.parametrize("resize", ["squash", "crop", "fit"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_absurd_shapes(size, resize):
    picture = decode(encoded(Image.new("RGB", size, (10, 200, 90)), "PNG"), Preprocessing(32, resize))
    assert max(picture.pixels.shape) == 32
    assert_close(picture.pixels[tuple(side // 2 for side in picture.pixels.shape[:2])], (10, 200, 90))


def test_16_bit_gray_is_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, 0)
    for kind in ("PNG", "TIFF"):
        row = decode(encoded(Image.fromarray(ramp), kind), Preprocessing(64)).pixels[32, :, 0]
        assert_close(row, np.linspace(0, 255, 64), 1.5)


def test_12_bits_in_16_use_the_whole_range():
    ramp = np.linspace(0, 4095, 64).astype(np.uint16)[None].repeat(64, 0)
    row = decode(encoded(Image.fromarray(ramp), "TIFF"), Preprocessing(64)).pixels[32, :, 0]
    assert_close(row, np.linspace(0, 255, 64), 1.5)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_without_a_range_are_stretched(dtype):
    ramp = np.linspace(-5000, 90000, 64).astype(dtype)[None].repeat(64, 0)
    row = decode(encoded(Image.fromarray(ramp), "TIFF"), Preprocessing(64)).pixels[32, :, 0]
    assert_close(row, np.linspace(0, 255, 64), 1.5)


def test_floats_that_are_not_numbers():
    values = np.full((8, 8), np.nan, np.float32)
    assert decode(encoded(Image.fromarray(values), "TIFF"), SMALL).pixels.max() == 0
    values[:, 4:] = 3
    values[:, :2] = np.inf
    values[0, 0] = 1
    assert decode(encoded(Image.fromarray(values), "TIFF"), SMALL).pixels[16, 28, 0] > 240


def test_16_bit_rgb_png():
    row = b"\0" + struct.pack(">6H", 65535, 32768, 0, 65535, 32768, 0)
    assert_close(decode(png(2, 2, depth=16, body=row * 2), SMALL).pixels[16, 16], (255, 128, 0))


@pytest.mark.parametrize(
    ("image", "kind", "color"),
    [
        (Image.new("1", (40, 40), 1), "PNG", (255, 255, 255)),
        (Image.new("L", (40, 40), 77), "JPEG", (77, 77, 77)),
        (Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (Image.new("CMYK", (40, 40), (255, 0, 0, 51)), "TIFF", (0, 204, 204)),
        (Image.new("YCbCr", (40, 40), (128, 128, 128)), "TIFF", (128, 128, 128)),
        (Image.new("LAB", (40, 40), (150, 128, 128)), "TIFF", (150, 150, 150)),
        (Image.new("RGB", (40, 40), (9, 99, 199)).quantize(4), "GIF", (9, 99, 199)),
        (Image.new("RGBA", (40, 40), (9, 99, 199, 255)), "PNG", (9, 99, 199)),
        (Image.new("RGBA", (40, 40), (9, 99, 199, 0)), "PNG", (9, 99, 199)),
        (Image.new("LA", (40, 40), (50, 255)), "PNG", (50, 50, 50)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_every_mode(image, kind, color):
    assert_close(decode(encoded(image, kind), SMALL).pixels, np.full((32, 32, 3), color), 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB-key"])
def test_transparency_shows_the_backdrop(mode):
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (20, 0, 40, 40))
    options = {}
    if mode == "RGB-key":
        image, options = Image.new("RGB", (40, 40), (255, 0, 255)), {"transparency": (255, 0, 255)}
        image.paste((0, 0, 0), (20, 0, 40, 40))
    elif mode in ("P", "PA"):
        image = image.quantize(8)
    else:
        image = image.convert(mode)
    picture = decode(encoded(image, "PNG", **options), SMALL)
    assert_close(picture.pixels[16, 4], BACKDROP)
    assert_close(picture.pixels[16, 28], (0, 0, 0))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (40, 30), color) for color in ((200, 20, 20), (20, 200, 20), (20, 20, 200))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert_close(decode(data, SMALL).pixels, np.full((32, 32, 3), (200, 20, 20)), 6)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"hello, world\n", "not an image (text)"),
        ("Grüße\n".encode() * 100, "not an image (text)"),
        (b"BMW is a maker of cars, and this is a text", "not an image (text)"),
        (b"%PDF-1.7\n", "not an image (PDF)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image (PostScript)"),
        (b"PK\3\4....", "not an image (zip archive)"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "not an image (video)"),
        (b"\x01\x02\x03\x04" * 30, "not an image"),
        (b"\xff\xd8\xff", "truncated or damaged JPEG"),
        (png(1, 1)[:20], "truncated or damaged PNG"),
    ],
)
def test_what_is_not_a_picture_says_what_it_is(data, expected):
    assert reason(data).startswith(expected)


@pytest.mark.parametrize(("kind", "options"), FORMATS, ids=lambda value: str(value))
def test_truncated_files_are_not_silently_gray(kind, options):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    data = encoded(noise, kind, **options)
    half = data[: len(data) // 2]
    if kind in ("JPEG", "PNG"):  # what is there of them is shown, and said to be cut
        assert decode(half, SMALL).cut is not None
        half = data[: data.index(b"\xff\xda" if kind == "JPEG" else b"IDAT") + 16]
    assert reason(half).startswith("truncated or damaged")


def test_pixel_bombs_are_refused_before_they_are_decoded():
    start = time.perf_counter()
    assert reason(png(100_000, 100_000)) == "too large: 100000×100000 pixels, more than 250,000,000"
    assert reason(encoded(quadrants(), "PNG"), max_pixels=1000).startswith("too large: 96×64")
    gif = bytearray(encoded(quadrants(), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    assert reason(bytes(gif)).startswith("too large: 65535×65535")
    assert time.perf_counter() - start < 1


def test_large_pictures_below_the_limit_pass_where_pillow_would_object():
    data = encoded(Image.new("1", (20_000, 10_000)), "PNG")  # 200 million pixels: beyond Pillow's own bound
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert decode(data, Preprocessing(8)).width == 20_000


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(data)))
        match rng.integers(0, 4):
            case 0:
                data[at] = rng.integers(0, 256)
            case 1:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 2:
                del data[at : at + int(rng.integers(1, 20))]
            case 3:
                data[at:at] = rng.bytes(int(rng.integers(1, 20)))
        if len(data) < 2:
            break
    return bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.2 else data)


def test_a_thousand_damaged_files_give_a_picture_or_a_reason(capfd):
    rng = np.random.default_rng(7)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    kinds = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "ICO", "PPM"]
    whole = [encoded(quadrants(24, 16), kind, **({"exif": exif} if kind in ("JPEG", "PNG") else {})) for kind in kinds]
    n_pictures, reasons = 0, []
    with warnings.catch_warnings(record=True) as caught:
        for turn in range(1000):
            try:
                picture = decode(damaged(rng, whole[turn % len(whole)]), SMALL, max_pixels=1_000_000)
                assert isinstance(picture, Picture)
                assert picture.pixels.shape == (32, 32, 3)
                n_pictures += 1
            except Unreadable as error:
                reasons.append(str(error))
    assert not caught
    assert min(n_pictures, len(reasons)) > 100
    assert all(reason and reason.isprintable() for reason in reasons)
    assert not capfd.readouterr().out


def test_no_warning_reaches_the_screen_or_stops_the_picture():
    code = (
        "import io, sys; from PIL import Image; from selfsort.images import *; "
        "out = io.BytesIO(); im = Image.new('P', (8, 8)); im.putpalette([9, 9, 9] * 256); "
        "im.save(out, 'PNG', transparency=bytes(range(256))); decode(out.getvalue(), Preprocessing(8)); "
        "out = io.BytesIO(); Image.new('L', (8, 8)).save(out, 'TIFF'); data = bytearray(out.getvalue()); "
        "data[-20] ^= 255\n"
        "try: decode(bytes(data), Preprocessing(8))\nexcept Unreadable: pass"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_arrays_of_every_shape_give_the_same_picture():
    image = quadrants()
    rgb = np.asarray(image)
    expected = decode(encoded(image, "PNG"), SMALL).pixels
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    for array in (rgb, opaque, rgb.astype(np.float32) / 255, np.asfortranarray(rgb), rgb[::-1][::-1]):
        picture = from_array(array, SMALL)
        assert (picture.width, picture.height, picture.format) == (96, 64, "")
        np.testing.assert_array_equal(picture.pixels, expected)
    gray = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(from_array(gray, SMALL).pixels, from_array(gray[:, :, None], SMALL).pixels)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), np.int64),
        np.full((4, 4), 2.0),
        np.full((4, 4), np.nan),
    ],
)
def test_arrays_that_are_no_pictures(array):
    with pytest.raises(Unreadable):
        from_array(array, SMALL)


def test_pil_images_keep_their_meaning_as_arrays():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(encoded(quadrants(), "PNG", exif=exif)))
    assert array_from_image(turned).shape == (96, 64, 3)
    assert array_from_image(Image.new("LA", (5, 4), (9, 9))).shape == (4, 5, 4)
    deep = Image.fromarray(np.full((4, 5), 40000, np.uint16))
    assert array_from_image(deep).max() == 40000 * 255 // 65535 + 1
    with pytest.raises(Unreadable):
        array_from_image(Image.open(io.BytesIO(encoded(quadrants(), "JPEG")[:-100])))


@pytest.mark.parametrize("side", [32, 112, 224, 300])
def test_thumbnails_are_small_jpegs(side):
    image = Image.open(io.BytesIO(thumbnail(decode(encoded(quadrants(), "PNG"), Preprocessing(side)).pixels)))
    assert (image.format, image.size) == ("JPEG", (112, 112))
    assert_close(np.asarray(image), quadrants().resize((112, 112), Image.Resampling.BICUBIC), 6)


def test_preprocessing_checks_itself_and_names_itself():
    assert len({Preprocessing(s, r).key for s in (32, 224) for r in ("squash", "crop", "fit")}) == 6
    with pytest.raises(DataError, match="4096 pixels: got 0"):
        Preprocessing(0)
    with pytest.raises(DataError, match="squash, crop, fit: got 'stretch'"):
        Preprocessing(224, "stretch")


def test_sniff_tells_avif_from_heif_by_all_brands():
    assert sniff(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif") == "AVIF"
    assert sniff(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic") == "HEIF"


def test_real_edge_cases_end_as_recorded():
    folder = Path(os.environ.get("SELFSORT_DATA", "")) / "photos"
    if not os.environ.get("SELFSORT_DATA") or not folder.is_dir():
        pytest.skip("set SELFSORT_DATA to the folder of real pictures")
    with tarfile.open(folder / "f1_edge_cases.tar") as archive, open(folder / "f1_edge_cases.csv") as table:
        for row in csv.DictReader(table):
            data = archive.extractfile(row["file"]).read()
            if row["file"] == "made/truncated.jpg":
                assert decode(data, SMALL).cut is not None
                continue
            if row["pillow_result"] != "ok":
                reason(data)
                continue
            picture = decode(data, Preprocessing())
            size = (int(row["width"]), int(row["height"]))
            assert picture.format == row["format"], row["file"]
            assert (picture.width, picture.height) == (
                size[::-1] if row["orientation"] in "5678" and row["orientation"] else size
            )
