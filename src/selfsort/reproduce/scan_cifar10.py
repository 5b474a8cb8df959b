"""SCAN on CIFAR-10, from pixels, before and after self-labeling."""

from selfsort.reproduce.recipe import Recipe, Row, Variant

RECIPE = Recipe(
    title="SCAN",
    method="scan",
    data="cifar-10",
    rows=(
        Row("train-test", {"acc": 0.816, "nmi": 0.715, "ari": 0.665}, name="SCAN", params={"label_epochs": 0}),
        Row(
            "train-test",
            {"acc": 0.883, "nmi": 0.797, "ari": 0.772},
            name="and self-labeling",
            begins_as="scan-cifar10/train-test-SCAN",
        ),
        Row(
            "train-test",
            {"acc": 0.816, "nmi": 0.715, "ari": 0.665},
            name="random start",
            params={"label_epochs": 0, "init": "random"},
            begins_as="scan-cifar10/train-test-SCAN/pretext",
        ),
    ),
    source="Van Gansbeke et al., SCAN, ECCV 2020, its released code's best run",
    params={"n_clusters": 10, "prior": "equal"},
    full=Variant(
        minutes=7,
        params={
            "backbone": "resnet18",
            "width": 64,
            "pretext_epochs": 170,
            "pretext_optimizer": "adamw",
            "pretext_learning_rate": 2e-3,
            "pretext_weight_decay": 0.05,
            "pretext_growth": 0.6,
            "temperature": 0.1,
            "batch_size": 512,
            "n_epochs": 20,
            "label_epochs": 30,
            "learning_rate": 3e-4,
        },
    ),
    cpu=Variant(
        minutes=60,
        params={
            "backbone": "airbench",
            "width": 32,
            "pretext_epochs": 70,
            "pretext_optimizer": "adamw",
            "pretext_learning_rate": 2e-3,
            "pretext_weight_decay": 0.05,
            "pretext_growth": 0.9,
            "temperature": 0.1,
            "batch_size": 256,
            "n_epochs": 4,
            "label_epochs": 6,
            "learning_rate": 1e-3,
        },
    ),
    note="Published: 500 passes of SimCLR by SGD, 50 of SCAN, 200 of self-labeling. Ours are fewer, the first by "
    "AdamW with smaller views first, and heads start from the graph's groups except in the row that says so. "
    "Self-labeling listens to half of each cluster and keeps all in use. On a CPU the encoder is that of airbench, "
    "half as wide as published.",
    shown=("acc", "nmi", "ari", "worst head", "mean head", "mined@1", "mined@5", "mined@20"),
)
