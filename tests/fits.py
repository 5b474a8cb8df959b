"""Small fits that the tests of `selfsort.learn` share."""

import numpy as np
import pytest

import selfsort

SMALL = {"n_clusters": 10, "network": "dense", "hidden": [64], "n_codes": 8, "n_epochs": 10, "batch_size": 64}
SHORT = SMALL | {"max_steps": 20, "graph_steps": 21, "update_interval": 10}
FEW = {"n_clusters": 10, "width": 4, "n_heads": 2, "start_steps": 50, "n_epochs": 2, "batch_size": 128}
CODES = {"n_clusters": 10, "width": 4, "n_codes": 4, "units": 32, "n_epochs": 1, "batch_size": 128}
FEATURES = {"n_clusters": 10, "width": 4, "n_projected": 8, "n_epochs": 1, "batch_size": 128}
NEIGHBORLY = {"n_clusters": 10, "width": 4, "pretext_epochs": 1, "n_epochs": 2, "label_epochs": 1, "batch_size": 128}
TEACHING = {"n_clusters": 10, "n_heads": 2, "hidden": 32, "n_codes": 16, "n_epochs": 2, "batch_size": 128}
METHODS = {
    "kmeans": {"n_clusters": 10},
    "graph": {},
    "ae-kmeans": SMALL | {"graph_steps": 21},
    "dec": SHORT,
    "idec": SHORT,
    "iic": FEW,
    "mine": CODES,
    "simclr": FEATURES,
    "scan": NEIGHBORLY,
    "temi": TEACHING,
    "turtle": {"n_clusters": 10, "n_epochs": 2, "batch_size": 128},
    "deepcluster": {"n_clusters": 10, "width": 4, "n_epochs": 2, "batch_size": 128},
}
ARRAYS = ("labels", "levels", "confidence", "neighbors", "map", "embedding")


@pytest.fixture(scope="module")
def digits():
    return selfsort.load_dataset("digits")


@pytest.fixture(scope="module")
def dec(tmp_path_factory):
    return selfsort.fit("dec", "digits", tmp_path_factory.mktemp("fits") / "run", params=SHORT)


def blobs(n=60, d=5):
    return np.repeat(np.eye(3, d) * 10, n // 3, axis=0) + np.random.default_rng(0).normal(size=(n, d))
