"""How well faces are found, and how fast: MTCNN, as selfsort has it, beside a cascade of OpenCV.

    SELFSORT_DATA=... python benchmarks/people.py [mtcnn] [cascade] [small]

Caltech-101: of the category Faces every picture shows one; of the others every fourth is taken, and a face in them
counts as a false alarm, though some do show faces, such as statues. Photo library: pictures with the label people
beside the others, of which memes, posters and screenshots show faces too. Both look at the same pixels. The cascade
(frontal faces, alt2) is in opencv-python-headless below 5. Labels are seen by this comparison alone.

small: every sixth picture of Faces is pasted into a landscape of the library, 1,600 pixels wide, so that its face has a
stated part of the longer side; is that face found, if pictures are looked at with 512 or with 384 pixels?
"""

from __future__ import annotations

import csv
import io
import os
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from choosing import libraries
from record import record
from selfsort.images import Unreadable
from selfsort.photos.faces import check_installed, find_faces
from selfsort.photos.looks import upright
from selfsort.photos.people import SIDE
from selfsort.sources import open_source

FACES = {"Caltech-101": "Faces", "photo library": "people"}
EVERY = {"Caltech-101": 4, "photo library": 1}
SIDES, PARTS = (512, 384), (12, 18, 22, 25, 28, 32, 38)


def mtcnn() -> Callable[[np.ndarray], int]:
    check_installed()
    return lambda pixels: len(find_faces(pixels))


def cascade() -> Callable[[np.ndarray], int]:
    import cv2

    cv2.setNumThreads(1)
    found = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")

    def count(pixels: np.ndarray) -> int:
        gray = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        return len(found.detectMultiScale(gray, 1.1, 4, minSize=(20, 20)))

    return count


def main() -> None:
    for detector in [mtcnn, cascade]:
        if sys.argv[1:] and detector.__name__ not in sys.argv[1:]:
            continue
        count = detector()
        for data, archive, rows in libraries():
            score(detector.__name__, count, data, archive, rows)
    if not sys.argv[1:] or "small" in sys.argv[1:]:
        small()


def score(name: str, count: Callable[[np.ndarray], int], data: str, archive: object, rows: dict[str, str]) -> None:
    numbers: dict[str, list[int]] = {}
    n_others, seconds, reading = 0, 0.0, 0.0
    with open_source(archive) as source:
        for row, item in enumerate(source.items):
            label = rows.get(item.path)
            if label is None:
                continue
            if label != FACES[data]:
                n_others += 1
                if n_others % EVERY[data]:
                    continue
            start = time.thread_time()
            try:
                pixels = upright(source.read(row), SIDE)
            except Unreadable:
                continue
            read = time.thread_time()
            numbers.setdefault(label, []).append(count(pixels))
            reading, seconds = reading + read - start, seconds + time.thread_time() - read
    people = np.array(numbers[FACES[data]])
    others = np.array([n for label, of in numbers.items() if label != FACES[data] for n in of])
    n = len(people) + len(others)
    most = Counter({label: float(np.mean(np.array(of) > 0)) for label, of in numbers.items() if label != FACES[data]})
    record(
        "people",
        detector=name,
        data=data,
        side=SIDE,
        n_people=len(people),
        found=round(float(np.mean(people > 0)), 4),
        one=round(float(np.mean(people == 1)), 4),
        more=round(float(np.mean(people > 1)), 4),
        n_others=len(others),
        others=round(float(np.mean(others > 0)), 4),
        faces_of_others=round(float(others.mean()), 4),
        by_label={label: round(share, 3) for label, share in most.most_common()},
        milliseconds=round(1e3 * seconds / n, 1),
        reading_milliseconds=round(1e3 * reading / n, 1),
    )


def small() -> None:
    data = Path(os.environ["SELFSORT_DATA"])
    with open(data / "photos/f1_library_labels.csv", encoding="utf-8") as file:
        scenes = [row["file"] for row in csv.DictReader(file) if row["label"] == "landscape"][:12]
    with tarfile.open(data / "photos/f1_library.tar") as tar:
        grounds = [Image.open(io.BytesIO(tar.extractfile(name).read())).convert("RGB") for name in scenes]
    grounds = [ground.resize((1600, 1200)) for ground in grounds]
    with tarfile.open(data / "caltech101/caltech101_160.tar") as tar:
        names = [name for name in tar.getnames() if name.startswith("Faces/")][::6]
        known = [upright(tar.extractfile(name).read(), 512) for name in names]
    found = [(pixels, faces[0]) for pixels in known if len(faces := find_faces(pixels)) == 1]
    hits = {side: dict.fromkeys(PARTS, 0) for side in SIDES}
    for i, (pixels, face) in enumerate(found):
        for part in PARTS:
            scale = 1600 / part / (face[3] - face[1])
            ground, corner = grounds[i % len(grounds)].copy(), (700 + i * 37 % 200, 500 + i * 53 % 150)
            size = [round(length * scale) for length in pixels.shape[1::-1]]
            ground.paste(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), corner)
            out = io.BytesIO()
            ground.save(out, "JPEG", quality=92)
            center = np.array(corner) + (face[:2] + face[2:4]) / 2 * scale
            for side in SIDES:
                boxes = find_faces(upright(out.getvalue(), side))[:, :4] * (1600 / side)
                off = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - center).max(1)
                hits[side][part] += bool((off < 800 / part).any())
    for side in SIDES:
        record("small_faces", side=side, n=len(found), found={f"1/{part}": n for part, n in hits[side].items()})


if __name__ == "__main__":
    main()
