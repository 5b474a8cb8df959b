import csv
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.metrics import f1_score

from conftest import KINDS, draw
from selfsort import organize
from selfsort.images import Unreadable
from selfsort.photos import kind
from selfsort.photos.looks import _LEAST, KIND_NUMBERS, SIDE, describe, flaws, look, upright
from selfsort.sources import open_source


def encoded(image, kind_of_file="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind_of_file, **options)
    return out.getvalue()


def differing(a, b):
    return (int(a, 16) ^ int(b, 16)).bit_count()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 2), (3000, 40), (640, 480)])
@pytest.mark.parametrize("color", ["black", "white", "red", "noise"])
def test_numbers_are_finite_for_any_picture(size, color):
    rng = np.random.default_rng(0)
    image = (
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        if color == "noise"
        else Image.new("RGB", size, color)
    )
    numbers = look(encoded(image, "PNG"))
    assert set(KIND_NUMBERS) < set(numbers)
    assert all(np.isfinite(numbers[name]) for name in KIND_NUMBERS)
    assert len(numbers["hash"]) == 32
    assert all(0 <= numbers[name] <= 1 for name in ("light", "contrast", "saturation", "flat", "straight", "white"))


@pytest.mark.parametrize("size", [(640, 480), (100, 700), (5, 5), (1000, 100)])
def test_pixels_keep_their_shape_and_stand_upright(size):
    pixels = upright(encoded(Image.new("RGB", size, "red"), "PNG"), SIDE)
    assert max(pixels.shape[:2]) == SIDE
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(size[0] / size[1], rel=0.2)
    assert (pixels == [255, 0, 0]).all()  # nothing of the padding
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = upright(encoded(Image.new("RGB", size), "JPEG", exif=exif), SIDE)
    assert turned.shape[:2] == pixels.shape[1::-1]


@pytest.mark.parametrize("number", range(6))
def test_the_same_shot_has_nearly_the_same_hash(number):
    image = draw("disks", number, 400)
    original = look(encoded(image, "PNG"))["hash"]
    for other in (
        encoded(image, quality=40),
        encoded(image.resize((200, 200))),
        encoded(image.convert("L"), "PNG"),
    ):
        assert differing(original, look(other)["hash"]) <= 12
    assert differing(original, look(encoded(draw("stripes", number, 400)))["hash"]) > 12


def test_flaws():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    sharp = small.resize((400, 300), Image.Resampling.NEAREST)
    assert flaws(look(encoded(sharp))) == []
    assert flaws(look(encoded(sharp.filter(ImageFilter.GaussianBlur(20))))) == ["blurred"]
    assert flaws(look(encoded(sharp.point(lambda v: v // 16)))) == ["dark"]
    assert flaws(look(encoded(Image.new("RGB", (300, 300), "white")))) == ["empty"]
    assert flaws(look(encoded(Image.new("RGB", (300, 300))))) == ["dark", "empty"]


def test_a_small_picture_is_not_blurred_for_being_small():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    numbers = look(encoded(noise.resize((40, 40), Image.Resampling.BICUBIC), "PNG"))
    assert flaws(numbers) == ["blurred"]
    assert flaws(numbers, 40) == []
    assert flaws(look(encoded(noise.resize((600, 600), Image.Resampling.BICUBIC))), 600) == ["blurred"]


def test_what_is_no_picture_is_said():
    with pytest.raises(Unreadable, match="text"):
        look(b"not a picture")


def test_probabilities_of_kinds():
    pictures = [encoded(draw(name, 1, 200)) for name in KINDS]
    looks = [look(data) for data in pictures]
    rng = np.random.default_rng(0)
    features = rng.gamma(0.3, size=(len(pictures), 1280))
    found = kind.probabilities(features, looks)
    assert found.shape == (5, 6)
    assert kind.PHOTO in kind.kinds()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    wider = np.hstack([features, rng.random((5, 192))])  # with an earlier layer behind them
    np.testing.assert_array_equal(kind.probabilities(wider, looks), found)
    np.testing.assert_allclose(kind.probabilities(features * 7, looks), found, atol=1e-5)
    assert kind.probabilities(features[:0], []).shape == (0, 6)
    assert np.isfinite(kind.probabilities(np.zeros((5, 1280)), looks)).all()


def test_describe_is_the_same_every_time():
    pixels = upright(encoded(draw("pages", 3, 300)), SIDE)
    assert describe(pixels) == describe(pixels.copy())


def test_kinds_of_the_half_that_the_model_never_saw(data):
    """Photo library: the division of seed 0, as in benchmarks/kind.py; the model was trained on its first half."""
    clusters = organize(data / "photos/f1_library.tar")
    with open(data / "photos/f1_library_labels.csv", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file) if row["eval"] == "1"}
    rows = [row for row, path in enumerate(clusters.items.column("path").to_pylist()) if path in labels]
    order = np.random.default_rng(0).permutation(len(rows))
    other = [rows[i] for i in order[len(rows) // 2 :]]
    with open_source(data / "photos/f1_library.tar") as source:
        looks = [look(source.read(row)) for row in other]
        names = [source.items[row].path for row in other]
    known = {"greeting": "poster"} | {name: name for name in ("document", "meme", "screenshot", "chart")}
    truth = [known.get(labels[name], "photo") for name in names]
    found = np.array(kind.kinds())[kind.probabilities(clusters.embedding[other], looks).argmax(1)]
    assert f1_score(truth, found, average="macro") >= 0.90


def test_twelve_megapixels_are_looked_at_from_an_eighth_of_their_sides():
    image = draw("disks", 1, 63).resize((4032, 3024))
    data = encoded(image, quality=90)
    for width, height in ((4032, 3024), (4000, 2250), (3968, 2976)):
        part = encoded(image.crop((0, 0, width, height)), quality=90)
        small = Image.open(io.BytesIO(part))
        small.draft("RGB", (width // 8, height // 8))  # an eighth is the least that JPEG has
        np.testing.assert_array_equal(upright(part, SIDE, _LEAST), np.asarray(small))
    quick, whole = look(data), describe(upright(data, SIDE))
    assert differing(quick.pop("hash"), whole.pop("hash")) <= 4
    assert quick.pop("sharpness") == pytest.approx(whole.pop("sharpness"), rel=0.15)
    assert quick == pytest.approx(whole, abs=0.05)
