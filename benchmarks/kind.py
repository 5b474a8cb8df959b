"""What kind of picture it is: trains the model that selfsort ships, and scores it.

    SELFSORT_DATA=... python benchmarks/kind.py [--write]

Trained on half of the photo library's labels and, with a tenth of the weight, on pictures drawn here: charts, pages of
text, screens, memes, posters.
Scored on the library's other half. Five divisions into halves tell the spread; the model that is shipped is that of
the first, so the second half of that division has never been trained on. `--write` renews `photos/kind.safetensors`.
"""

from __future__ import annotations

import argparse
import io
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score

from choosing import libraries
from record import record
from selfsort.features.encoders import load_encoder
from selfsort.images import decode
from selfsort.photos import kind as shipped
from selfsort.photos.looks import look
from selfsort.pixels import Preprocessing
from selfsort.sources import open_source

KIND_OF = {"document": "document", "meme": "meme", "greeting": "poster", "screenshot": "screenshot", "chart": "chart"}
N_DRAWN, N_PHOTOS, N_SEEDS = 150, 400, 5
WORDS = [
    "time",
    "person",
    "year",
    "way",
    "day",
    "thing",
    "man",
    "world",
    "life",
    "hand",
    "part",
    "child",
    "eye",
    "woman",
    "place",
    "work",
    "week",
    "case",
    "point",
    "company",
    "number",
    "group",
    "problem",
    "fact",
    "total",
    "amount",
    "price",
    "invoice",
    "date",
    "item",
    "quantity",
    "when",
    "nobody",
    "says",
    "that",
    "you",
    "should",
    "not",
    "but",
    "why",
    "me",
    "happy",
    "new",
    "summer",
    "sale",
    "festival",
    "wishes",
    "open",
    "file",
    "edit",
    "view",
    "search",
    "settings",
    "message",
    "today",
    "online",
    "error",
    "return",
    "value",
    "import",
    "class",
    "list",
    "menu",
    "home",
    "profile",
    "share",
    "like",
    "comment",
    "follow",
    "next",
    "back",
    "cancel",
    "done",
    "save",
]
Rng = np.random.Generator


def _words(rng: Rng, n: int) -> str:
    return " ".join(rng.choice(WORDS, n))


def _font(rng: Rng, size: int) -> ImageFont.FreeTypeFont:
    names = [p for p in font_manager.findSystemFonts() + _matplotlib_fonts() if "DejaVu" in p]
    return ImageFont.truetype(str(rng.choice(sorted(names))), size)


def _matplotlib_fonts() -> list[str]:
    import matplotlib as mpl

    return [str(path) for path in Path(mpl.get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf")]


def _color(rng: Rng, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    return tuple(int(c) for c in rng.integers(low, high, 3))


def chart(rng: Rng, photo: Image.Image) -> Image.Image:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style = str(rng.choice(["default", "ggplot", "bmh", "seaborn-v0_8-whitegrid", "dark_background", "grayscale"]))
    with plt.style.context(style):
        figure, axes = plt.subplots(figsize=rng.uniform(3, 8, 2), dpi=90)
        x = np.sort(rng.normal(size=30))
        draw = int(rng.integers(7))
        if draw == 0:
            for _ in range(rng.integers(1, 5)):
                axes.plot(x, rng.normal(size=30).cumsum())
        elif draw == 1:
            axes.bar(range(6), rng.random(6))
        elif draw == 2:
            axes.scatter(*rng.normal(size=(2, 200)), s=rng.uniform(2, 30), c=rng.random(200))
        elif draw == 3:
            axes.pie(rng.random(5), labels=list(rng.choice(WORDS, 5)))
        elif draw == 4:
            axes.hist(rng.normal(size=400), bins=int(rng.integers(8, 40)))
        elif draw == 5:
            axes.imshow(rng.random((8, 8)), cmap=str(rng.choice(["viridis", "gray", "magma"])))
        else:  # boxes and arrows
            axes.axis("off")
            places = rng.random((6, 2))
            for a, b in pairwise(places):
                axes.annotate("", b, a, arrowprops={"arrowstyle": "->"})
            for place in places:
                axes.text(*place, _words(rng, 1), bbox={"boxstyle": "round", "fc": rng.random(3)}, ha="center")
        if rng.random() < 0.6:
            axes.set_title(_words(rng, 3))
        if draw < 3 and rng.random() < 0.6:
            axes.set_xlabel(_words(rng, 1))
        out = io.BytesIO()
        figure.savefig(out)
        plt.close(figure)
    return Image.open(out).convert("RGB")


def document(rng: Rng, photo: Image.Image) -> Image.Image:
    width = int(rng.integers(300, 800))
    height = int(width * rng.uniform(1.1, 2.4))
    paper = tuple(int(c) for c in rng.integers(225, 256) - rng.integers(0, 14, 3))
    page = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(page)
    size, y = int(rng.integers(9, 20)), int(rng.integers(10, 60))
    font, ink = _font(rng, size), _color(rng, 0, 90)
    receipt = rng.random() < 0.5
    while y < height - 2 * size:
        if rng.random() < 0.1:
            y += size * 2
        line = _words(rng, int(rng.integers(1, 4) if receipt else rng.integers(6, 14)))[: int(1.7 * width / size)]
        draw.text((width * 0.08, y), line, fill=ink, font=font)
        if receipt:
            draw.text((width * 0.75, y), f"{rng.uniform(1, 200):.2f}", fill=ink, font=font)
        y += int(size * rng.uniform(1.15, 1.6))
    page = page.rotate(rng.normal(0, 2), expand=True, fillcolor=_color(rng, 0, 256) if rng.random() < 0.4 else paper)
    if rng.random() < 0.6:
        page = page.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    shade = np.linspace(1, rng.uniform(0.6, 1), page.width)[None, :, None]
    noisy = np.asarray(page) * shade + rng.normal(0, rng.uniform(0, 10), (page.height, page.width, 1))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def screenshot(rng: Rng, photo: Image.Image) -> Image.Image:
    phone = rng.random() < 0.6
    width, height = (540, int(rng.choice([960, 1110, 1170]))) if phone else (1280, int(rng.choice([720, 800, 900])))
    dark = rng.random() < 0.5
    ground, ink = (_color(rng, 10, 50), _color(rng, 180, 256)) if dark else (_color(rng, 240, 256), _color(rng, 0, 90))
    accent = _color(rng)
    screen = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(screen)
    small, large = _font(rng, 18), _font(rng, 26)
    draw.rectangle((0, 0, width, 70), fill=accent if rng.random() < 0.5 else ground)
    draw.text((14, 6), f"{rng.integers(24):02d}:{rng.integers(60):02d}", fill=ink, font=small)
    draw.text((60, 34), _words(rng, 2), fill=ink, font=large)
    left = 0 if phone else int(rng.integers(0, 300))
    if left:
        draw.rectangle((0, 70, left, height), fill=tuple(max(0, c - 12) for c in ground))
        for row in range(int(rng.integers(4, 16))):
            draw.text((16, 90 + 34 * row), _words(rng, 2), fill=ink, font=small)
    y, what = 90, int(rng.integers(4))
    while y < height - 60:
        if what == 0:  # a list
            draw.ellipse((left + 14, y, left + 60, y + 46), fill=_color(rng))
            draw.text((left + 76, y), _words(rng, 3), fill=ink, font=small)
            draw.text((left + 76, y + 24), _words(rng, 5), fill=tuple(c // 2 + 60 for c in ink), font=small)
            y += 72
        elif what == 1:  # a chat
            mine, tall = rng.random() < 0.5, int(rng.integers(40, 120))
            x = left + (width - left) * (0.35 if mine else 0.03)
            draw.rounded_rectangle(
                (x, y, x + (width - left) * 0.6, y + tall),
                16,
                fill=accent if mine else tuple(c // 2 + 64 for c in ground),
            )
            draw.text((x + 12, y + 8), textwrap.fill(_words(rng, 6), 26), fill=ink, font=small)
            y += tall + 14
        elif what == 2:  # code or a terminal
            draw.text(
                (left + 20 + 24 * int(rng.integers(4)), y),
                _words(rng, int(rng.integers(1, 8))),
                fill=_color(rng, 90, 230),
                font=small,
            )
            y += 26
        else:  # tiles of photographs
            side = (width - left) // (3 if phone else 5)
            for x in range(left, width - side + 1, side):
                screen.paste(photo.resize((side - 6, side - 6)), (x + 3, y))
            y += side
    if rng.random() < 0.5:
        draw.rectangle((0, height - 60, width, height), fill=ground)
        for x in np.linspace(40, width - 60, 4):
            draw.rounded_rectangle((x, height - 46, x + 26, height - 20), 6, outline=ink, width=2)
    return screen


def meme(rng: Rng, photo: Image.Image) -> Image.Image:
    width = int(rng.integers(320, 700))
    photo = photo.resize((width, int(width * photo.height / photo.width)))
    font = _font(rng, int(width * rng.uniform(0.05, 0.11)))
    lines = textwrap.fill(_words(rng, int(rng.integers(2, 9))), int(rng.integers(14, 26)))
    if rng.random() < 0.3:  # on a band above
        canvas = Image.new("RGB", (width, photo.height + width // 4), "white")
        canvas.paste(photo, (0, width // 4))
        ImageDraw.Draw(canvas).multiline_text((12, 10), lines, fill="black", font=font)
        return canvas
    draw = ImageDraw.Draw(photo)
    places = [(0.5, 0.03, "ma")] if rng.random() < 0.3 else [(0.5, 0.03, "ma"), (0.5, 0.97, "md")]
    for x, y, anchor in places:
        text = _words(rng, int(rng.integers(2, 6))).upper()
        draw.text(
            (width * x, photo.height * y),
            text,
            fill="white",
            font=font,
            anchor=anchor,
            stroke_width=3,
            stroke_fill="black",
        )
    return photo


def poster(rng: Rng, photo: Image.Image) -> Image.Image:
    width, height = int(rng.integers(400, 800)), int(rng.integers(400, 900))
    first, second = np.array(_color(rng)), np.array(_color(rng))
    fade = np.linspace(0, 1, height)[:, None, None] * np.ones((1, width, 1))
    page = Image.fromarray((first * (1 - fade) + second * fade).astype(np.uint8))
    draw = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(4, 40))):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, width / 7)
        shape = rng.choice(["ellipse", "polygon", "star"])
        if shape == "ellipse":
            draw.ellipse((x - r, y - r, x + r, y + r), fill=_color(rng))
        else:
            n = int(rng.integers(3, 9))
            angle = np.arange(2 * n) * np.pi / n
            radius = np.where(np.arange(2 * n) % 2, r, r / 2) if shape == "star" else r
            draw.polygon(
                [(x + p, y + q) for p, q in zip(radius * np.cos(angle), radius * np.sin(angle), strict=True)],
                fill=_color(rng),
            )
    if rng.random() < 0.3:
        side = int(min(width, height) * rng.uniform(0.3, 0.5))
        page.paste(photo.resize((side, side)), ((width - side) // 2, height - side - 20))
    for line in range(int(rng.integers(1, 4))):
        font = _font(rng, int(width * rng.uniform(0.05, 0.14)))
        draw.text(
            (width / 2, height * (0.15 + 0.2 * line)), _words(rng, 2).title(), fill=_color(rng), font=font, anchor="mm"
        )
    return page


DRAWN: dict[str, Callable[[Rng, Image.Image], Image.Image]] = {
    "chart": chart,
    "document": document,
    "screenshot": screenshot,
    "meme": meme,
    "poster": poster,
}


def drawn(photos: list[bytes], seed: int = 0) -> tuple[list[bytes], list[str]]:
    """Return pictures made here, and photographs, as files with their kinds."""
    rng = np.random.default_rng(seed)
    files, kinds = [], []
    for kind, draw in DRAWN.items():
        for _ in range(N_DRAWN):
            photo = Image.open(io.BytesIO(photos[rng.integers(len(photos))])).convert("RGB")
            out = io.BytesIO()
            png = kind in ("chart", "screenshot") and rng.random() < 0.5
            draw(rng, photo).save(
                out, "PNG" if png else "JPEG", **({} if png else {"quality": int(rng.integers(60, 95))})
            )
            files.append(out.getvalue())
            kinds.append(kind)
    for i in rng.choice(len(photos), N_PHOTOS, replace=False):
        files.append(photos[i])
        kinds.append("photo")
    return files, kinds


def measured(files: list[bytes]) -> np.ndarray:
    """Return what the model sees of each file."""
    encoder = load_encoder()
    size = encoder.preprocessing.size
    rows = []
    for data in files:
        features = encoder.encode(decode(data, Preprocessing(size, "squash")).pixels[None])[0]
        rows.append(shipped.inputs(features[None].astype(np.float16), [look(data)])[0])
    return np.array(rows)


def train(X: np.ndarray, kinds: np.ndarray, weights: np.ndarray) -> Any:
    mean, deviation = X.mean(0), X.std(0) + 1e-3
    balance = {kind: weights.sum() / weights[kinds == kind].sum() for kind in np.unique(kinds)}
    weights = weights * np.array([balance[kind] for kind in kinds])
    model = LogisticRegression(C=0.003, max_iter=2000).fit((X - mean) / deviation, kinds, sample_weight=weights)
    weight = model.coef_ / deviation
    return model.classes_, weight, model.intercept_ - weight @ mean


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and score the model of kinds.")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    (_, library, labels), (_, caltech, _) = libraries()
    with open_source(library) as source:
        rows = [i for i, item in enumerate(source.items) if item.path in labels]
        files = [source.read(i) for i in rows]
        kinds = np.array([KIND_OF.get(labels[source.items[i].path], "photo") for i in rows])
    with open_source(caltech) as source:
        photos = [source.read(i) for i in np.random.default_rng(0).permutation(len(source))[:2000]]
    made, made_kinds = drawn(photos)
    X, X_made = measured(files), measured(made)
    for name, share in (("halves and drawn", 0.1), ("halves alone", 0.0), ("drawn alone", None)):
        scores = []
        for seed in range(N_SEEDS):
            order = np.random.default_rng(seed).permutation(len(files))
            half, other = order[: len(files) // 2], order[len(files) // 2 :]
            if share is None:
                fitted = train(X_made, np.array(made_kinds), np.ones(len(X_made)))
            else:
                rows = np.concatenate([X[half], X_made]) if share else X[half]
                names = np.concatenate([kinds[half], made_kinds]) if share else kinds[half]
                weights = (
                    np.concatenate([np.ones(len(half)), np.full(len(X_made), share)]) if share else np.ones(len(half))
                )
                fitted = train(rows, names, weights)
            classes, weight, bias = fitted
            found = classes[(X[other] @ weight.T + bias).argmax(1)]
            scores.append(f1_score(kinds[other], found, average="macro"))
            if seed == 0:
                print(classes, confusion_matrix(kinds[other], found, labels=classes), sep="\n")
                if arguments.write and share:
                    shipped.save([str(c) for c in classes], weight, bias)
        record(
            "kind",
            trained_on=name,
            data="photo library, the half that was not trained on",
            protocol=f"macro-F1 of six kinds; {N_SEEDS} divisions into halves",
            macro_f1=[round(score, 4) for score in scores],
            mean=round(float(np.mean(scores)), 4),
            std=round(float(np.std(scores)), 4),
        )


if __name__ == "__main__":
    main()
