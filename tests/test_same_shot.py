"""One shot in other encodings is the same, another document on the same form is not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from selfsort import organize
from selfsort.images import decode
from selfsort.photos.looks import look
from selfsort.photos.same_shot import alike_by_hash, correlation, is_same_shot, unexplained
from selfsort.pixels import Preprocessing, thumbnail
from test_duplicates import found, scene

SIZE = (600, 900)


def form(kind, number):
    """Return one of the documents of an office that has one form for each kind."""
    rng = np.random.default_rng(number)
    page = Image.new("RGB", SIZE, (251, 251, 249))
    pen = ImageDraw.Draw(page)

    def write(x, y, text, size, fill="black"):
        pen.text((x, y), text, fill=fill, font=ImageFont.load_default(size))

    if kind == "statement":
        pen.rectangle((40, 40, 560, 140), fill=(30, 60, 160))
        write(60, 70, "ACME BANK STATEMENT", 36, "white")
        for day in range(20):
            amount = f"{rng.integers(1, 99999) / 100:.2f}"
            write(
                60, 180 + 32 * day, f"2024-0{number + 1}-{day + 1:02} payment {rng.integers(1000, 9999)} {amount}", 20
            )
    elif kind == "invoice":
        write(60, 60, "EXAMPLE LTD", 44, (10, 10, 80))
        write(60, 140, f"Invoice {rng.integers(10**4, 10**5)}", 20)
        pen.rectangle((40, 190, 560, 220), fill=(220, 220, 230))
        for line in range(6):
            item = str(rng.choice(["Training", "Support", "Hosting"]))
            write(50, 240 + 30 * line, f"{item} {rng.integers(1, 13)} x {rng.integers(10, 990)}.00", 20)
        write(350, 560, f"TOTAL {rng.integers(100, 9999)}.00", 22)
    else:
        write(180, 90, "PHOTOBOX", 44, (20, 90, 60))
        for field in range(2 + number):
            pen.rectangle((60, 230 + 100 * field, 540, 290 + 100 * field), outline=(150, 150, 150), width=2)
        pen.rectangle((60, 700, 540, 770), fill=(20, 90, 60))
        write(240, 715, ("Log in", "Sign up", "Change it")[number], 30, "white")
    return page


def encodings(image):
    for quality in (30, 90):
        yield image, {"quality": quality}
    for share in (0.75, 0.4):
        yield image.resize([round(share * side) for side in image.size], Image.Resampling.LANCZOS), {"quality": 80}


def seen(image, **options):
    """Return the thumbnail of a JPEG, and how much of it is of one color."""
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    small = thumbnail(decode(out.getvalue(), Preprocessing(224)).pixels)
    return np.asarray(Image.open(io.BytesIO(small)).convert("L"), np.float32), look(out.getvalue())["commonest"]


def are_same(one, other):
    return is_same_shot(one[0], other[0], max(one[1], other[1]))


@pytest.mark.parametrize("kind", ["statement", "invoice", "login"])
def test_documents_on_one_form_are_not_one_shot(kind):
    pictures = [[seen(image, **options) for image, options in encodings(form(kind, number))] for number in range(3)]
    for number, of_one in enumerate(pictures):
        assert all(are_same(of_one[0], other) for other in of_one)
        for others in pictures[:number]:
            assert correlation(of_one[1][0], others[1][0]) > 0.9  # paper and header lead
            assert not any(are_same(one, other) for one in of_one for other in others)


@pytest.mark.parametrize("number", range(5))
def test_encodings_of_a_photograph_are_one_shot(number):
    rng = np.random.default_rng(number)
    fine = np.asarray(scene(number, 480), np.float32) + rng.normal(0, 25, (480, 480, 3))  # detail that encoding takes
    image = Image.fromarray(fine.clip(0, 255).astype(np.uint8))
    first, *others = [seen(picture, **options) for picture, options in encodings(image)]
    assert all(are_same(first, other) and are_same(other, first) for other in others)
    assert not are_same(first, seen(scene(number + 50, 480)))


def test_a_date_on_a_photograph_does_not_make_it_another():
    """As a camera prints one; on plain paper it would."""
    image = scene(1, 480)
    ImageDraw.Draw(image).text((80, 380), "1 6 '19", fill=(255, 140, 0), font=ImageFont.load_default(80))
    one, other = seen(scene(1, 480)), seen(image)
    assert are_same(one, other)
    assert not is_same_shot(one[0], other[0], 0.5)


def test_plain_thumbnails_are_never_the_same():
    plain = np.full((112, 112), 128, np.float32)
    assert correlation(plain, plain) == 0
    assert np.isfinite(unexplained(plain, plain))
    assert not is_same_shot(plain, seen(scene(1, 300))[0], 1.0)


def test_hashes_alike_are_paired_however_many_copies_there_are():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 2, 128, dtype=np.uint8)
    other = one.copy()
    other[rng.choice(128, 7, replace=False)] ^= 1  # seven flips leave one part of eight as it was
    bits = np.concatenate([np.tile(one, (300, 1)), np.tile(other, (300, 1)), rng.integers(0, 2, (4000, 128))])
    bits = bits.astype(np.uint8)
    pairs = [np.stack(of) for of in alike_by_hash(bits)]
    assert sum(of.shape[1] for of in pairs) <= 32 * len(bits)
    a, b = np.concatenate(pairs, 1)
    assert ((np.minimum(a, b) < 300) & (np.maximum(a, b) >= 300) & (np.maximum(a, b) < 600)).any()


def test_many_encodings_of_one_shot_are_one_set(tmp_path):
    """Of each, all nearest neighbors have its own size."""
    root = tmp_path / "pictures"
    root.mkdir()
    image = scene(3, 480)
    for quality in range(60, 72):
        image.save(root / f"large{quality}.jpg", quality=quality)
        image.resize((160, 160)).save(root / f"small{quality}.jpg", quality=quality)
    for number in range(4):
        scene(10 + number, 480).save(root / f"other{number}.jpg")
    organize(root, tmp_path / "run")
    assert [len(paths) for level, paths in found(tmp_path / "run") if level == "same shot"] == [24]
