"""What is known of each data set: its splits, files, classes, and where the files are published."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Part:
    """Files that belong together.

    Parameters
    ----------
    images : str
    labels : str
        The same file where it holds both, empty where there are no labels.
    n : int
        Pictures.
    """

    images: str
    labels: str
    n: int


@dataclass(frozen=True)
class Spec:
    """One data set that is read from files.

    Parameters
    ----------
    title, description : str
    home : str
        Name of its folder in the cache and in Debian's ``/usr/share/datasets``.
    layout : {"idx", "cifar", "stl"}
        How the bytes are arranged.
    shape : tuple of int
        (c, h, w) of a picture.
    classes : tuple of str
    splits : mapping
        The parts of each.
    mirrors : tuple of str
        Addresses that the names of files are appended to.
    md5 : mapping
        Checksum of each file that is published; with it come transport over https and the size bound.
    max_bytes : int
        No file that is published is larger.
    folder : str
        What the archive unpacks to.
    pickled : tuple of str
        The same data as Python objects, which are never read: loading them runs whatever code is in them.
    jpeg : str
        A form of ours for tests, ``{split}`` stands for train and test.
    label_bytes, label_column : int
        For the cifar layout: labels before each picture, and which of them counts.
    """

    title: str
    description: str
    home: str
    layout: Literal["idx", "cifar", "stl"]
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Part, ...]]
    mirrors: tuple[str, ...]
    md5: Mapping[str, str]
    max_bytes: int
    folder: str = ""
    pickled: tuple[str, ...] = ()
    jpeg: str = ""
    label_bytes: int = 1
    label_column: int = 0

    @property
    def archive(self) -> str:
        """The one file that is published, where it is one."""
        return next(iter(self.md5)) if self.folder else ""

    @property
    def choices(self) -> tuple[str, ...]:
        """What may be asked for."""
        return (*self.splits, "all")

    def parts(self, split: str) -> tuple[Part, ...]:
        """Return the parts of a split; "all" is train, then test."""
        return self.splits["train"] + self.splits["test"] if split == "all" else self.splits[split]


_IDX_SPLITS = {
    "train": (Part("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),),
    "test": (Part("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000),),
}
_DIGITS = tuple("0123456789")
_CIFAR_100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""
_CIFAR_20 = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
    large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2
"""


def _cifar_100(title: str, description: str, classes: str, column: int) -> Spec:
    return Spec(
        title=title,
        description=description,
        home="cifar-100",
        layout="cifar",
        shape=(3, 32, 32),
        classes=tuple(classes.split()),
        splits={
            "train": (Part("train.bin", "train.bin", 50_000),),
            "test": (Part("test.bin", "test.bin", 10_000),),
        },
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        md5={"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
        max_bytes=200 << 20,
        folder="cifar-100-binary",
        pickled=("cifar-100-python.tar.gz", "cifar-100-python"),
        label_bytes=2,  # the coarse label, then the fine one
        label_column=column,
    )


#: By name; digits is not among them, because scikit-learn brings it along.
SPECS: dict[str, Spec] = {
    "mnist": Spec(
        title="MNIST",
        description="handwritten digits: 60,000 + 10,000 gray pictures, 28×28, 10 classes",
        home="mnist",
        layout="idx",
        shape=(1, 28, 28),
        classes=_DIGITS,
        splits=_IDX_SPLITS,
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        md5={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        max_bytes=32 << 20,
    ),
    "fashion-mnist": Spec(
        title="Fashion-MNIST",
        description="clothes: 60,000 + 10,000 gray pictures, 28×28, 10 classes",
        home="fashion-mnist",
        layout="idx",
        shape=(1, 28, 28),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        splits=_IDX_SPLITS,
        mirrors=(
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        md5={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        max_bytes=64 << 20,
    ),
    "cifar-10": Spec(
        title="CIFAR-10",
        description="animals and vehicles: 50,000 + 10,000 color pictures, 32×32, 10 classes",
        home="cifar-10",
        layout="cifar",
        shape=(3, 32, 32),
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        splits={
            "train": tuple(Part(f"data_batch_{i}.bin", f"data_batch_{i}.bin", 10_000) for i in range(1, 6)),
            "test": (Part("test_batch.bin", "test_batch.bin", 10_000),),
        },
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        md5={"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        max_bytes=200 << 20,
        folder="cifar-10-batches-bin",
        pickled=("cifar-10-python.tar.gz", "cifar-10-batches-py"),
        jpeg="cifar10_{split}_jpeg.npz",
    ),
    "cifar-20": _cifar_100("CIFAR-20", "CIFAR-100 with its 20 coarse classes", _CIFAR_20, 0),
    "cifar-100": _cifar_100(
        "CIFAR-100", "things of all kinds: 50,000 + 10,000 color pictures, 32×32, 100 classes", _CIFAR_100, 1
    ),
    "stl-10": Spec(
        title="STL-10",
        description="animals and vehicles: 5,000 + 8,000 color pictures, 96×96, 10 classes; 100,000 without labels",
        home="stl-10",
        layout="stl",
        shape=(3, 96, 96),
        classes=("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        splits={
            "train": (Part("train_X.bin", "train_y.bin", 5_000),),
            "test": (Part("test_X.bin", "test_y.bin", 8_000),),
            "unlabeled": (Part("unlabeled_X.bin", "", 100_000),),
        },
        mirrors=("https://ai.stanford.edu/~acoates/stl10/", "https://cs.stanford.edu/~acoates/stl10/"),
        md5={"stl10_binary.tar.gz": "91f7769df0f17e558f3565bffb0c7dfb"},
        max_bytes=3 << 30,
        folder="stl10_binary",
    ),
}


def normal(name: str) -> str:
    """Return a name without what people write differently; slashes stay, so a path is never taken for a name.

    >>> normal("Fashion_MNIST"), normal("cifar 10"), normal("./mnist")
    ('fashionmnist', 'cifar10', './mnist')
    """
    return re.sub(r"[\s_-]", "", name.lower())
