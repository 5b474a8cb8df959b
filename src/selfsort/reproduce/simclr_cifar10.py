"""SimCLR on CIFAR-10: the features that SCAN starts from."""

from selfsort.reproduce.recipe import Recipe, Row, Variant, codes

RECIPE = Recipe(
    title="SimCLR",
    method="simclr",
    data="cifar-10",
    rows=(Row("train-test", {"linear": 0.907, "knn": 0.879}),),
    source="linear: solo-learn, 1,000 epochs; kNN: lightly, 800 epochs, with 200 neighbors; both ResNet-18, width 64",
    params={"n_clusters": 10},
    full=Variant(
        minutes=7,
        params={
            "backbone": "resnet18",
            "width": 64,
            "n_epochs": 170,
            "temperature": 0.1,
            "batch_size": 512,
            "optimizer": "adamw",
            "learning_rate": 2e-3,
            "weight_decay": 0.05,
            "growth": 0.6,
        },
    ),
    cpu=Variant(
        minutes=25,
        params={
            "backbone": "airbench",
            "width": 32,
            "n_epochs": 35,
            "temperature": 0.1,
            "batch_size": 256,
            "optimizer": "muon",
            "learning_rate": 0.02,
            "weight_decay": 0.05,
            "growth": 0.9,
        },
    ),
    shown=("knn", "linear", "acc", "nmi"),
    measure=codes,
)
