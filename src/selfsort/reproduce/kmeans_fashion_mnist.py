"""K-means on the pixels of Fashion-MNIST."""

from dataclasses import replace

from selfsort.reproduce.kmeans_mnist import RECIPE as ON_MNIST
from selfsort.reproduce.recipe import Row

RECIPE = replace(
    ON_MNIST,
    data="fashion-mnist",
    rows=(Row("source"), Row("source", name="spherical", params={"spherical": True}), Row("pooled")),
    source="no number that we could verify",
)
