"""Autoencoder + k-means on Fashion-MNIST."""

from dataclasses import replace

from selfsort.reproduce.ae_kmeans_mnist import GRAPH_START
from selfsort.reproduce.ae_kmeans_mnist import RECIPE as ON_MNIST
from selfsort.reproduce.recipe import Row

RECIPE = replace(
    ON_MNIST,
    data="fashion-mnist",
    note="",
    rows=(
        Row("pooled"),
        Row("pooled", name="graph start", params=GRAPH_START),
        Row("source"),
    ),
    source="no number that we could verify",
)
