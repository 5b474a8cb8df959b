"""TEMI on the built-in encoder's features of CIFAR-10."""

from selfsort.reproduce.recipe import Recipe, Row, Variant

RECIPE = Recipe(
    title="TEMI",
    method="temi",
    data="cifar-10",
    rows=(
        Row("train-test", {"acc": 0.945}),
        Row("train-test", {"acc": 0.945}, name="random start", params={"init": "random", "n_epochs": 100}),
    ),
    source="Adaloglou et al., BMVC 2023, with features of DINO ViT-B/16 from full-size images",
    params={"n_clusters": 10},
    full=Variant(minutes=2, params={"n_heads": 16, "hidden": 512, "n_codes": 256, "n_epochs": 100}),
    cpu=Variant(minutes=4),
    note="The features are those of EfficientNet-Lite0.",
    encoded=True,
    shown=("acc", "nmi", "ari", "worst head", "best head"),
)
