"""Text in pictures: how fast it is read, how much is found, what the look in small misses, and memory over time.

    SELFSORT_DATA=... python benchmarks/text.py [library] [drawn] [large] [memory] [--passes N] [--chinese FONT]

library: the photo library, read as `selfsort text` does, on all processors: the best of N passes; and once more without
the look in small first, which tells what that misses. Its table has the captions that were drawn on the memes: the
share of their words found as words of their own, and by a search, which finds parts of words. Wall-clock seconds are
those of the machine as it was; seconds of processor time tell what the work costs.
drawn: lines drawn here, in the fonts that matplotlib brings, at several sizes, on plain and on noisy ground; with
--chinese also in a font that has Chinese. Nothing was chosen with these in view.
large: what the look in small gains on large photographs: those of the library without text, enlarged to 4,000 pixels.
memory: the library N times, resident memory after each pass.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from record import record
from selfsort.files import content_id
from selfsort.photos import ocr
from selfsort.photos.catalog import Catalog
from selfsort.photos.changes import Scanned
from selfsort.photos.facets import read_facets
from selfsort.photos.text import FACET, read_text, text_facet
from selfsort.runtime import n_threads
from selfsort.sources import Source, open_source

PHOTOS = Path(os.environ["SELFSORT_DATA"], "photos")
_DRAWN = (
    "time person year way day thing man world life hand part child eye woman place work week case point company number "
    "group problem fact total amount price invoice date item quantity when nobody says you should not why happy new"
)
FONTS = ("DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif", "STIXGeneral")
CHINESE = "会议记录 报销发票 合计金额 北京火车站 新年快乐 生日蛋糕 课程安排 下载失败 网络错误 家庭合影 购物清单 登机口"
N_DRAWN, N_LARGE, WORD = 25, 60, re.compile(r"\w+")
#: Letters and digits that a picture must have to count as one with text.
LEAST = 4


def one_pass(source: Source, only: Collection[str] | None = None) -> tuple[dict[str, Any], float, float]:
    """Read the text of all pictures, or of some paths; return facts by path, seconds, and seconds of processor time."""
    wanted = [i for i, item in enumerate(source.items) if only is None or item.path in only]
    rows = {content_id(source.read(i)): i for i in wanted}
    with tempfile.TemporaryDirectory() as folder, Catalog(Path(folder, "a.catalog")) as catalog:
        items = source.items
        catalog.scan(source.root, [Scanned(items[i].path, key, items[i].size, None, "ok") for key, i in rows.items()])
        started, worked = time.perf_counter(), time.process_time()
        read_facets(catalog, source, rows, {FACET: text_facet()}, stage=FACET)
        seconds, work = time.perf_counter() - started, time.process_time() - worked
        facts = catalog.facts(FACET)
    return {items[i].path: facts[key] for key, i in rows.items()}, seconds, work


def library(n_passes: int) -> None:
    """Record speed and quality on the photo library."""
    labels, captions = _table()
    with open_source(PHOTOS / "f1_library.tar") as source:
        read = _counted()
        passes = [one_pass(source) for _ in range(n_passes)]
        n_read = len(read) // n_passes
        facts = passes[0][0]
        flat, ocr.FLAT = ocr.FLAT, 0.0  # nothing is less flat: all are read
        whole, _, work = one_pass(source)
        ocr.FLAT = flat
        likely, ocr._SPACE = ocr._SPACE, 1.0  # as the network has it
        plain, _, _ = one_pass(source, captions)
        ocr._SPACE = likely
    seconds = min(seconds for _, seconds, _ in passes)
    work_looked = min(work for _, _, work in passes)
    with_text = [name for name in whole if _has_text(whole[name])]
    missed = [name for name in with_text if not _has_text(facts[name])]
    kinds = defaultdict(list)
    for name, fact in facts.items():
        kinds[labels.get(name, "")].append(_has_text(fact))
    record(
        "text",
        what="library",
        n_pictures=len(facts),
        n_threads=n_threads(),
        n_passes=n_passes,
        seconds=round(seconds, 1),
        processor_seconds=round(work_looked, 1),
        processor_seconds_without_look=round(work, 1),
        n_read=n_read,
        n_with_text=len(with_text),
        n_missed_by_look=len(missed),
        kinds={kind: [sum(texts), len(texts)] for kind, texts in sorted(kinds.items())},
        captions=_recall(captions, facts),
        captions_without_spaces=_recall(captions, plain),
    )


def drawn(chinese: str | None) -> None:
    """Record how much is read of lines drawn here."""
    rng = np.random.default_rng(0)
    for family in FONTS:
        font = font_manager.findfont(family)
        for capitals in (False, True):
            lines = [" ".join(rng.choice(_DRAWN.split(), 6)) for _ in range(N_DRAWN)]
            _record_drawn(family, [line.upper() for line in lines] if capitals else lines, font, capitals=capitals)
    if chinese:
        pool = CHINESE.split()
        lines = ["".join(rng.choice(pool, 3)) for _ in range(N_DRAWN)]
        _record_drawn(ImageFont.truetype(chinese).getname()[0], lines, chinese, capitals=False)


def _record_drawn(family: str, lines: list[str], font: str, *, capitals: bool) -> None:
    pictures = [_picture(line, font, number) for number, line in enumerate(lines)]
    found, letters, others, wanted = [0, 0], 0.0, 0, 0
    for alone in (False, True):
        likely, ocr._SPACE = ocr._SPACE, 1.0 if alone else ocr._SPACE
        for line, picture in zip(lines, pictures, strict=True):
            got = " ".join(part.text for part in ocr.lines(picture))
            words, read = Counter(WORD.findall(line.casefold())), Counter(WORD.findall(got.casefold()))
            found[alone] += (words & read).total()
            if not alone:
                wanted += words.total()
                others += (read - words).total()
                letters += _letters_right(line.casefold(), got.casefold())
        ocr._SPACE = likely
    record(
        "text",
        what="drawn",
        font=family,
        capitals=capitals,
        n_lines=len(lines),
        words=round(found[0] / wanted, 4),
        words_without_spaces=round(found[1] / wanted, 4),
        n_words=wanted,
        n_other_words=others,
        letters=round(letters / len(lines), 4),
    )


def large() -> None:
    """Record the work that the look in small saves on large photographs without text."""
    labels, _ = _table()
    with open_source(PHOTOS / "f1_library.tar") as source:
        names = [i for i, item in enumerate(source.items) if labels.get(item.path) in ("animal", "landscape", "plant")]
        photographs = []
        for i in names[:N_LARGE]:
            with Image.open(io.BytesIO(source.read(i))) as picture:
                wide = picture.convert("RGB").resize((4000, round(4000 * picture.height / picture.width)))
            out = io.BytesIO()
            wide.save(out, "JPEG", quality=85)
            photographs.append(out.getvalue())
    work = []
    for flat in (ocr.FLAT, 0.0):
        before, ocr.FLAT = ocr.FLAT, flat
        started = time.process_time()
        n_with_text = sum(bool(read_text(data)["text"]) for data in photographs)
        work.append(time.process_time() - started)
        ocr.FLAT = before
    record(
        "text",
        what="large",
        n_pictures=len(photographs),
        n_with_text=n_with_text,
        processor_seconds=round(work[0], 1),
        processor_seconds_without_look=round(work[1], 1),
    )


def memory(n_passes: int) -> None:
    """Record resident memory after each pass over the library."""
    with open_source(PHOTOS / "f1_library.tar") as source:
        used, n = [], 0
        for _ in range(n_passes):
            facts, _, _ = one_pass(source)
            n += len(facts)
            used.append(_resident())
            print(n, "pictures,", used[-1], "MB", flush=True)
    record("text", what="memory", n_pictures=n, megabytes=used)


def _picture(line: str, font: str, number: int) -> np.ndarray:
    """Return RGB pixels with one line, on ground that is noisy in every second picture."""
    letter = ImageFont.truetype(font, 14 + 3 * (number % 8))
    left, top, right, bottom = letter.getbbox(line)
    size = (int(right - left) + 60, int(bottom - top) + 60)
    rng = np.random.default_rng(number)
    ground = rng.integers(150, 256, 3) + rng.normal(0, 12 * (number % 2), (size[1], size[0], 3))
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    ImageDraw.Draw(picture).text((30 - left, 30 - top), line, fill=tuple(rng.integers(0, 90, 3).tolist()), font=letter)
    return np.asarray(picture)


def _counted() -> list[int]:
    """Note from now on, in the list that is returned, each picture that is not only looked at in small."""
    calls: list[int] = []
    lock, lines = threading.Lock(), ocr.lines

    def counting(pixels: Any) -> Any:
        with lock:
            calls.append(1)
        return lines(pixels)

    ocr.lines = counting
    return calls


def _table() -> tuple[dict[str, str], dict[str, str]]:
    """Return labels and drawn captions by path."""
    with open(PHOTOS / "f1_library_labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {r["file"]: r["label"] for r in rows}, {r["file"]: r["caption_drawn"] for r in rows if r["caption_drawn"]}


def _has_text(fact: dict[str, Any] | None) -> bool:
    return bool(fact) and sum(c.isalnum() for c in fact["text"]) >= LEAST


def _recall(captions: dict[str, str], facts: dict[str, Any]) -> dict[str, Any]:
    exact = parts = n = 0
    for name, caption in captions.items():
        words = Counter(WORD.findall(caption.casefold()))
        text = facts[name]["text"].casefold() if facts[name] else ""
        n += words.total()
        exact += (words & Counter(WORD.findall(text))).total()
        parts += sum(count for word, count in words.items() if word in text)
    return {"n": len(captions), "n_words": n, "words": round(exact / n, 4), "searched": round(parts / n, 4)}


def _letters_right(line: str, got: str) -> float:
    """Return 1 less the edit distance over the length, spaces aside."""
    a, b = line.replace(" ", ""), got.replace(" ", "")
    row = np.arange(len(b) + 1)
    for i, letter in enumerate(a, 1):
        before, row = row, np.empty_like(row)
        row[0] = i
        for j, other in enumerate(b, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
    return max(0.0, 1 - row[-1] / len(a))


def _resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024)
    return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["library", "drawn", "large", "memory"])
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--chinese")
    given = parser.parse_args()
    if "library" in given.parts:
        library(given.passes)
    if "drawn" in given.parts:
        drawn(given.chinese)
    if "large" in given.parts:
        large()
    if "memory" in given.parts:
        memory(given.passes)


if __name__ == "__main__":
    main()
