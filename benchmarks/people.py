"""How well faces are found, and how fast: MTCNN, as selfsort has it, beside a cascade of OpenCV.

    SELFSORT_DATA=... python benchmarks/people.py [mtcnn] [cascade]

Caltech-101: of the category Faces every picture shows one; of the others every fourth is taken, and a face in them
counts as a false alarm, though some do show faces, such as statues. Photo library: pictures with the label people
beside the others, of which memes, posters and screenshots show faces too. Both look at the same pixels. The cascade
(frontal faces, alt2) is in opencv-python-headless below 5. Labels are seen by this comparison alone.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from choosing import libraries
from record import record
from selfsort.images import Unreadable
from selfsort.photos.faces import check_installed, find_faces
from selfsort.photos.looks import upright
from selfsort.photos.people import SIDE
from selfsort.sources import open_source

FACES = {"Caltech-101": "Faces", "photo library": "people"}
EVERY = {"Caltech-101": 4, "photo library": 1}


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


if __name__ == "__main__":
    main()
