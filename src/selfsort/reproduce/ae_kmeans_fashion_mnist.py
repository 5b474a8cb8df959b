"""Autoencoder + k-means on Fashion-MNIST."""

from dataclasses import replace

from selfsort.reproduce.ae_kmeans_mnist import GRAPH_START
from selfsort.reproduce.ae_kmeans_mnist import RECIPE as ON_MNIST
from selfsort.reproduce.recipe import Row, Variant

RECIPE = replace(
    ON_MNIST,
    data="fashion-mnist",
    rows=(
        Row("pooled"),
        Row("pooled", name="graph start", params=GRAPH_START),
        Row("source"),
    ),
    source="no number that we could verify",
    cpu=Variant(minutes=7, params={"learning_rate": 1.0, "n_epochs": 60}),  # at MNIST's 4 it diverges
)
