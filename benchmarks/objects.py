"""How often the terms of the default encoder's classifier are right.

    SELFSORT_DATA=... python benchmarks/objects.py

Of Caltech-101 the categories that are classes of ImageNet, or that classes of it are kinds of: right is one of these
classes, or a broader term of it. Of the others it is only counted how many get a hint. Of the photo library's
labels right is any broader term that says the same. Labels are seen by this comparison alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from choosing import libraries
from record import record
from selfsort.methods.base import encode_pictures
from selfsort.photos.objects import broader, hints, names

LEASTS = (0.2, 0.3, 0.5)
#: Category -> names of classes; by itself, a category of this name.
CALTECH: Mapping[str, str] = {
    "accordion": "accordion",
    "airplanes": "airliner, warplane, airplane wing, space shuttle",
    "ant": "ant",
    "barrel": "barrel",
    "beaver": "beaver",
    "binocular": "binoculars",
    "butterfly": "monarch butterfly, admiral butterfly, ringlet butterfly, cabbage butterfly, sulfur butterfly, "
    "blue butterfly",
    "camera": "reflex camera, instant camera",
    "cannon": "cannon",
    "car_side": "station wagon, convertible, sports car, minivan, limousine, race car, taxi, jeep, Model T",
    "cellphone": "cellphone",
    "chair": "folding chair, rocking chair, barber chair, throne",
    "cougar_body": "cougar",
    "cougar_face": "cougar",
    "crab": "Dungeness crab, rock crab, fiddler crab, king crab, hermit crab",
    "crayfish": "crayfish",
    "crocodile": "crocodile, alligator",
    "crocodile_head": "crocodile, alligator",
    "cup": "cup, coffee mug",
    "dalmatian": "dalmatian",
    "dragonfly": "dragonfly",
    "electric_guitar": "electric guitar",
    "elephant": "Indian elephant, African elephant, tusker",
    "ewer": "pitcher",
    "flamingo": "flamingo",
    "flamingo_head": "flamingo",
    "grand_piano": "grand piano",
    "hawksbill": "loggerhead turtle, leatherback turtle",
    "ketch": "yawl, schooner",
    "lamp": "table lamp, lampshade",
    "laptop": "laptop, notebook computer",
    "Leopards": "leopard, jaguar",
    "llama": "llama",
    "lobster": "lobster, spiny lobster",
    "Motorbikes": "moped, motor scooter",
    "nautilus": "nautilus",
    "panda": "panda",
    "pizza": "pizza",
    "platypus": "platypus",
    "revolver": "revolver",
    "rooster": "rooster",
    "saxophone": "saxophone",
    "schooner": "schooner",
    "scorpion": "scorpion",
    "soccer_ball": "soccer ball",
    "starfish": "starfish",
    "stop_sign": "street sign",
    "strawberry": "strawberry",
    "tick": "tick",
    "trilobite": "trilobite",
    "umbrella": "umbrella",
    "watch": "analog clock, digital watch, stopwatch",
    "windsor_chair": "folding chair, rocking chair",
}
#: Label of the photo library -> broader terms that say it.
LIBRARY: Mapping[str, str] = {
    "animal": "animals",
    "building": "buildings, structures",
    "food": "food, drinks, tableware, kitchen things",
    "landscape": "landscapes",
    "plant": "plants",
    "vehicle": "vehicles",
}


def accepted() -> dict[str, dict[str, set[str]]]:
    """Return data -> label -> all terms that are right for it."""
    above = dict(zip(names(), broader(), strict=True))
    found: dict[str, dict[str, set[str]]] = {"Caltech-101": {}, "photo library": {}}
    for category, classes in CALTECH.items():
        fine = classes.split(", ")
        found["Caltech-101"][category] = {*fine, *(term for name in fine for term in above[name])}
    for label, wanted in LIBRARY.items():
        broad = set(wanted.split(", "))
        found["photo library"][label] = {
            term
            for name, of in above.items()
            for far, top in enumerate(of)
            if top in broad
            for term in (name, *of[: far + 1])
        }
    return found


def score(data: str, right: Mapping[str, set[str]], features: np.ndarray, labels: np.ndarray, least: float) -> None:
    start = time.perf_counter()
    found = hints(features, least=least)
    seconds = time.perf_counter() - start
    known = np.isin(labels, list(right))
    others = (labels != "") & ~known
    firsts = np.array([of[0][0] if of else "" for of in found])
    good = np.array([first in right.get(label, ()) for first, label in zip(firsts, labels, strict=True)])
    hinted, fine = firsts != "", np.isin(firsts, names())
    by_label = {str(label): round(float(good[labels == label].mean()), 3) for label in sorted(set(labels[known]))}
    record(
        "objects",
        data=data,
        least=least,
        n=int(known.sum()),
        hinted=round(float(hinted[known].mean()), 4),
        right_of_hinted=round(float(good[known & hinted].mean()), 4),
        fine=round(float(fine[known].mean()), 4),
        right_of_fine=round(float(good[known & fine].mean()), 4),
        right_for_most=sum(share > 0.5 for share in by_label.values()),
        n_labels=len(by_label),
        by_label=by_label,
        n_others=int(others.sum()),
        hinted_others=round(float(hinted[others].mean()), 4),
        microseconds=round(1e6 * seconds / len(features), 1),
    )


def main() -> None:
    right = accepted()
    for data, archive, rows in libraries():
        features, paths = encode_pictures(archive)
        labels = np.array([rows.get(path, "") for path in paths])
        for least in LEASTS:
            score(data, right[data], features, labels, least)


if __name__ == "__main__":
    main()
