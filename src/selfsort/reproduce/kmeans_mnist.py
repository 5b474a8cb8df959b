"""K-means on the pixels of MNIST."""

from selfsort.reproduce.recipe import Recipe, Row, Variant

RECIPE = Recipe(
    title="K-means on pixels",
    method="kmeans",
    data="mnist",
    rows=(
        Row("source", {"nmi": 0.498}),
        Row("source", name="spherical", params={"spherical": True}),
        Row("pooled", {"acc": 0.534, "nmi": 0.500}),
    ),
    source="source: scikit-learn's KMeans(n_init=20), 34,300 images fitted and 14,700 scored; pooled: the same",
    params={"n_clusters": 10, "n_init": 20},
    full=Variant(minutes=0.1),
    cpu=Variant(minutes=0.1),
)
