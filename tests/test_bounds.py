"""What one picture may cost: files that ask for much are refused, or end at a limit with a reason."""

import os
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from hostile import chunk, encoded, icon, png, progressive
from selfsort import bounds, images
from selfsort.images import PictureFile, Unreadable, decode
from selfsort.photos.embedded import Embedded
from selfsort.pixels import Preprocessing

SMALL = Preprocessing(size=32)


def reason(data):
    with pytest.raises(Unreadable) as caught:
        decode(data, SMALL)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.fixture
def apart(monkeypatch):
    """Every picture is decoded in a process of its own."""
    monkeypatch.setattr(bounds, "_PIXELS", 0)


@pytest.mark.parametrize("size", [(1, 249_000_000), (249_000_000, 1)])
def test_long_sides_are_refused_at_once(size):
    data, start = png(*size, n_rows=1), time.perf_counter()
    assert reason(data) == f"too large: {size[0]}×{size[1]} pixels, a side of more than 1,000,000"
    assert Embedded(data).exif == {}
    assert time.perf_counter() - start < 1


def test_a_long_strip_is_read():
    assert decode(png(900_000, 2), SMALL).width == 900_000


def test_thousands_of_scans_are_refused_at_once():
    data, start = progressive(4000, 3000, 3000), time.perf_counter()
    assert len(data) < 150_000
    assert reason(data).startswith("too much work: 3,0")
    assert time.perf_counter() - start < 1


def test_a_hundred_scans_of_a_photo_are_read():
    assert decode(progressive(3000, 2000, 100), SMALL).height == 2000


def test_scans_are_counted_as_the_decoder_does():
    data = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    n = bounds.count_scans(data)
    assert n == data.count(b"\xff\xda") > 5
    embedded = data[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + data[2:]
    assert bounds.count_scans(embedded) == n
    assert bounds.count_scans(b"\xff\xd8" + b"\xff" * 5_000_000 + b"\0") == 0  # and takes no time


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("1", (16_000, 15_700)), "TIFF", compression="group4"),
        png(16_000, 15_700),
        icon(png(16_000, 15_700)),
        encoded(Image.new("P", (16_000, 15_700)), "GIF"),
    ],
    ids=["TIFF", "PNG", "ICO", "GIF"],
)
def test_the_same_number_of_pixels_is_too_large_in_every_format(data):
    assert reason(data) == "too large: 16000×15700 pixels, more than 250,000,000"


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("1", (16_000, 12_000)), "TIFF", compression="group4"),
        icon(png(16_000, 12_000)),
    ],
    ids=["TIFF", "ICO"],
)
def test_more_pixels_than_pillow_allows_are_read_and_its_settings_stay(data):
    before = Image.MAX_IMAGE_PIXELS
    assert decode(data, SMALL).width == 16_000
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_decoding_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(images, "DECODE_SECONDS", 0.2)
    data = progressive(5000, 4000, 60)
    assert reason(data) == "took more than 0.2 s to decode"
    monkeypatch.undo()
    assert decode(data, SMALL).width == 5000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_a_decoding_that_takes_too_much_memory_is_ended(monkeypatch):
    monkeypatch.setattr(images, "DECODE_BYTES", 1 << 25)
    assert reason(png(8000, 8000)) == "needs more than 0 GB to decode"
    monkeypatch.undo()
    assert decode(encoded(Image.new("RGB", (90, 60)), "TIFF"), SMALL).width == 90  # by the same process


def test_a_decoder_that_dies_costs_one_picture(apart):
    data = png(9, 7)
    assert decode(data, SMALL).width == 9
    for process in images._processes._all:
        process._process.kill()
        process._process.wait()
    assert decode(data, SMALL).width == 9
    images.stop_decoding()
    assert decode(data, SMALL).width == 9


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM"])
def test_pixels_are_the_same_wherever_they_are_decoded(kind, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    file = PictureFile(encoded(Image.fromarray(pixels), kind))
    wanted = [(SMALL, 1.0), (Preprocessing(64, "fit"), 0.97), (Preprocessing(40, "crop"), 1.0)]
    here = [decode(file, preprocessing, least=least) for preprocessing, least in wanted]
    monkeypatch.setattr(bounds, "_PIXELS", 0)
    file = PictureFile(file.data)
    for picture, (preprocessing, least) in zip(here, wanted, strict=True):
        there = decode(file, preprocessing, least=least)
        np.testing.assert_array_equal(there.pixels, picture.pixels)
        assert not there.pixels.flags.writeable
        assert (there.width, there.height, there.format) == (picture.width, picture.height, picture.format)


def test_what_libraries_complain_of_is_the_reason_and_not_on_the_screen(capfd):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    data = bytearray(encoded(noise, "TIFF", compression="tiff_adobe_deflate"))
    data[1000:200_000:500] = bytes(len(range(1000, 200_000, 500)))
    why = reason(bytes(data))
    assert why.startswith("truncated or damaged TIFF: ")
    assert "ZIPDecode" in why
    assert tuple(capfd.readouterr()) == ("", "")


def test_warnings_of_libraries_cost_nothing(capfd):
    """An unknown tag, of which libtiff warns."""
    data = bytearray(encoded(Image.new("RGB", (40, 30), (9, 99, 199)), "TIFF", compression="tiff_lzw"))
    at = struct.unpack_from("<I", data, 4)[0]
    n = struct.unpack_from("<H", data, at)[0]
    entries = data[at + 2 : at + 2 + 12 * n] + struct.pack("<HHII", 65000, 3, 1, 7)
    struct.pack_into("<I", data, 4, len(data))
    data += struct.pack("<H", n + 1) + entries + bytes(4)
    assert decode(bytes(data), SMALL).width == 40
    assert tuple(capfd.readouterr()) == ("", "")


def test_first_frames_cost_no_more_in_long_animations():
    frames = [Image.new("P", (64, 64), i) for i in range(200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    start = time.perf_counter()
    assert decode(data, SMALL).width == 64
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "data",
    [
        png(10, 10, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20), 9))),
        png(10, 10, before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 << 20), 9))),
    ],
    ids=["text", "profile"],
)
def test_packed_metadata_takes_little_memory(data, tmp_path):
    code = (
        "import resource, sys\n"
        "from selfsort.images import *\nfrom selfsort.photos.embedded import Embedded\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "try: decode(data, Preprocessing(8))\nexcept Unreadable: pass\n"
        "Embedded(data).exif\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    (tmp_path / "a.png").write_bytes(data)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000


def test_facts_behind_the_pixels_of_a_png_are_read_without_decoding_it():
    exif = Image.Exif()
    exif[0x010F] = "maker"
    data = png(16_000, 15_000, after=chunk(b"eXIf", exif.tobytes()[6:]))
    start = time.perf_counter()
    assert Embedded(data).exif[0x010F] == "maker"
    assert time.perf_counter() - start < 0.5


def test_many_segments_and_chunks_are_not_read_here():
    jpeg = encoded(Image.new("L", (9, 9)), "JPEG")
    assert bounds.is_unusual("JPEG", jpeg[:2] + b"\xff\xfe\0\2" * 30_000 + jpeg[2:])
    assert bounds.is_unusual("PNG", png(9, 9, before=chunk(b"teXt", b"") * 30_000))
    assert not bounds.is_unusual("JPEG", jpeg)
    assert not bounds.is_unusual("PNG", png(900, 900))
    assert decode(jpeg[:2] + b"\xff\xfe\0\2" * 30_000 + jpeg[2:], SMALL).width == 9


def test_scripts_without_a_main_guard_are_not_run_again(tmp_path):
    script = tmp_path / "script.py"
    Image.new("RGB", (9, 7)).save(tmp_path / "a.tif")
    script.write_text(
        "print('once')\n"
        "from selfsort.images import *\nfrom selfsort.photos.embedded import Embedded\n"
        f"print(decode(open({str(tmp_path / 'a.tif')!r}, 'rb').read(), Preprocessing(8)).width)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=os.environ)
    assert (done.stdout, done.stderr) == ("once\n9\n", "")
