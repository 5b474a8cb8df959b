"""The shared-neighbor graph of MNIST's pixels, without any training."""

from selfsort.reproduce.recipe import Recipe, Row, Variant

RECIPE = Recipe(
    title="Shared-neighbor graph on pixels",
    method="graph",
    data="mnist",
    rows=(Row("pooled"), Row("pooled", name="k found", params={"n_clusters": None})),
    source="nobody published it; DEC's ACC 0.91, NMI 0.87 (DEC-keras) is the number to compare with",
    params={"n_clusters": 10},
    full=Variant(minutes=1),
    cpu=Variant(minutes=1),
)
