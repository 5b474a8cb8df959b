"""How many encodings of one shot are found to be the same, and how many different pictures are.

    [SELFSORT_DATA=...] python benchmarks/same_shot.py

Documents on eight kinds of forms are made, and pictures are drawn from the sets that lie in SELFSORT_DATA. Each is
encoded nine times or ten: as PNG, by three qualities of JPEG, as WebP, at 1.5 times its sides and at 0.75 to 0.2 of
them. Of pairs whose hashes and aspects are alike (see `selfsort.photos.duplicates`), it counts those of one picture and
those of two that the correlation of thumbnails alone, the rule before, and today's rule take for one shot. The limits
were chosen on the kinds that are marked; the others were only looked at.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from record import record
from selfsort.images import PictureFile, decode
from selfsort.photos.duplicates import MAX_ASPECT, MAX_BITS
from selfsort.photos.looks import look
from selfsort.photos.same_shot import MIN_CORRELATION, correlation, is_same_shot
from selfsort.pixels import Preprocessing, thumbnail

FORMS = {"statement": (600, 900), "invoice": (1240, 1754), "login": (390, 844), "table": (900, 640)}
FORMS |= {"letter": (850, 1100), "receipt": (380, 900), "chat": (390, 844), "sheet": (1280, 720)}
SETS = {
    "photo": "photos/f1_library.tar",
    "texture": "sets/textures10.tar",
    "aerial": "sets/aerial7.tar",
    "object": "caltech101/caltech101_160.tar",
}
CHOSEN_ON = {"statement", "login", "sheet", "receipt", "photo", "texture"}
N_TEMPLATES, N_FILLED, N_OF_SET = 2, 3, 14
LETTERS = "aabcdeefghiijklmnoopqrstuvwxyz      "


def form(kind: str, template: int, number: int) -> Image.Image:
    """Return a form, and what one fills into it."""
    of_all, own = np.random.default_rng([template, 7]), np.random.default_rng([template, number])
    width, height = FORMS[kind]
    page = Image.new("RGB", (width, height), tuple(of_all.integers(235, 256, 3).tolist()))
    color = tuple(of_all.integers(0, 160, 3).tolist())
    pen = ImageDraw.Draw(page)

    def write(x: int, y: int, text: str, size: int, fill: tuple[int, ...] | str = "black") -> None:
        pen.text((x, y), text, fill=fill, font=ImageFont.load_default(size))

    def words(rng: np.random.Generator, n: int) -> str:
        return "".join(rng.choice(list(LETTERS), n))

    head = height // 9
    pen.rectangle((0, 0, width, head), fill=color)
    write(20, head // 3, words(of_all, 12).upper(), head // 3, "white")
    size = int(of_all.integers(16, 24))
    for line, y in enumerate(range(head + 40, height - 60, int(1.6 * size) if kind != "login" else 80)):
        if kind == "login":
            if line < 3 + number % 2:
                pen.rectangle((40, y, width - 40, y + 50), outline=(150, 150, 150), width=2)
                write(55, y + 12, words(own, 12), 20, (120, 120, 120))
        elif kind == "letter":
            write(60, y, words(own, 60), size)
        elif kind == "chat":
            write(20 if line % 2 else 90, y, words(own, 18), size)
        elif kind == "receipt":
            write(30, y, words(own, 10), size)
            write(270, y, f"{own.integers(100, 9999) / 100:.2f}", size)
        elif kind == "invoice" and line >= 12:
            break
        else:
            amount = f"{own.integers(1000, 9999)}   {own.integers(1, 99999) / 100:.2f}"
            write(60, y, f"2024-0{number + 1}-{line % 28 + 1:02}  payment {amount}", size)
    return page


def drawn(archive: Path) -> Iterator[Image.Image]:
    """Yield some pictures of an archive."""
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        n = 0
        for i in np.random.default_rng(0).permutation(len(members)):
            try:
                image = Image.open(io.BytesIO(tar.extractfile(members[i]).read())).convert("RGB")
            except OSError:
                continue
            if min(image.size) >= 100 and n < N_OF_SET:
                n += 1
                image.thumbnail((1600, 1600))
                yield image


def encodings(image: Image.Image) -> Iterator[bytes]:
    changes = [(1.0, "PNG", {}), (1.0, "WEBP", {"quality": 50}), (1.5, "JPEG", {"quality": 80})]
    changes += [(1.0, "JPEG", {"quality": quality}) for quality in (20, 50, 85)]
    changes += [(share, "JPEG", {"quality": 75}) for share in (0.75, 0.5, 0.33, 0.2)]
    for share, kind_of_file, options in changes:
        size = tuple(round(share * side) for side in image.size)
        if min(size) >= 60:
            out = io.BytesIO()
            image.resize(size, Image.Resampling.LANCZOS).save(out, kind_of_file, **options)
            yield out.getvalue()


def seen(data: bytes) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return thumbnail, bits of the hash, aspect and share of the commonest color, as a run has them."""
    file = PictureFile(data)
    pixels, numbers = decode(file, Preprocessing(224)).pixels, look(file)
    small = np.asarray(Image.open(io.BytesIO(thumbnail(pixels))).convert("L"), np.float32)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(numbers["hash"]), np.uint8))
    return small, bits, numbers["aspect"], numbers["commonest"]


def counted(pictures: list[list[tuple[np.ndarray, np.ndarray, float, float]]]) -> dict[str, int]:
    """Return pairs of one picture and of two, and how many of each are taken for one shot by the two rules."""
    found = dict.fromkeys(("of one", "of one, before", "of one, now", "of two", "of two, before", "of two, now"), 0)
    each = [(number, one) for number, picture in enumerate(pictures) for one in picture]
    for (a, one), (b, other) in combinations(each, 2):
        which = "of one" if a == b else "of two"
        found[which] += 1
        if abs(one[2] - other[2]) > MAX_ASPECT or (one[1] != other[1]).sum() > MAX_BITS:
            continue
        found[f"{which}, before"] += correlation(one[0], other[0]) >= MIN_CORRELATION
        found[f"{which}, now"] += is_same_shot(one[0], other[0], max(one[3], other[3]))
    return found


def main() -> None:
    results = {}
    for kind in FORMS:
        parts = [
            counted([[seen(data) for data in encodings(form(kind, template, n))] for n in range(N_FILLED)])
            for template in range(N_TEMPLATES)
        ]
        results[kind] = {name: sum(part[name] for part in parts) for name in parts[0]}
    for kind, path in SETS.items() if "SELFSORT_DATA" in os.environ else ():
        pictures = drawn(Path(os.environ["SELFSORT_DATA"]) / path)
        results[kind] = counted([[seen(data) for data in encodings(image)] for image in pictures])
    for kind, found in results.items():
        print(f"{kind}{' (chosen on)' if kind in CHOSEN_ON else ''}: {found}", flush=True)
    record("same_shot", chosen_on=sorted(CHOSEN_ON), kinds=results)


if __name__ == "__main__":
    main()
