"""TURTLE on the built-in encoder's features of CIFAR-10."""

from selfsort.reproduce.recipe import Recipe, Row, Variant

RECIPE = Recipe(
    title="TURTLE",
    method="turtle",
    data="cifar-10",
    rows=(
        Row("train-test", {"acc": 0.995}),
        Row("train-test", {"acc": 0.995}, name="random start", params={"init": "random", "n_heads": 16}),
    ),
    source="Gadetsky et al., ICML 2024, with features of CLIP ViT-L/14 and DINOv2 ViT-g/14 together",
    params={"n_clusters": 10},
    full=Variant(minutes=3),
    cpu=Variant(minutes=3),
    note="The features are those of EfficientNet-Lite0. Settings were found in trials on this set with seeds 0 to 4.",
    encoded=True,
    shown=("acc", "nmi", "ari", "worst head", "best head"),
)
