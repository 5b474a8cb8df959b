"""Autoencoder + k-means on Fashion-MNIST."""

from dataclasses import replace

from selfsort.reproduce.ae_kmeans_mnist import RECIPE as ON_MNIST

RECIPE = replace(
    ON_MNIST,
    data="fashion-mnist",
    published={},
    source="no number that we could verify",
)
